"""Which master leads."""
