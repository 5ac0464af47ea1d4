"""The half of security that touches files, TLS and requests."""
