"""The laboratory: clusters of nodes with a real systemd, made on one machine, for breaking."""
