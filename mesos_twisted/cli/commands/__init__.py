"""One noun a file; each offers one click group named like its file."""
