"""The state page: static files that read only the public API."""
