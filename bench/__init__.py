"""Benchmarks: each module prints its figures when run; none is part of the package."""
