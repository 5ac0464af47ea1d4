"""Isolators: one concern a file."""
