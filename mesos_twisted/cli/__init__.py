"""The command line: one noun a file under `commands`, each a group of verbs."""
