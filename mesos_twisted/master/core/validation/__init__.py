"""Ordered small checks of what frameworks ask: each takes values and gives a Problem or None."""
