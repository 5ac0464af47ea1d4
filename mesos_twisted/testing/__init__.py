"""What only tests import."""
