"""Chance without a random source: numbers that look random, computed from a seed.

The order of any two things under one seed does not depend on what else is ordered.
"""

from __future__ import annotations

from math import log
from typing import Final

_MASK: Final = 2**64 - 1


def mix(seed: int, number: int) -> int:
    """64 well-mixed bits of a pair (the finishing steps of splitmix64)."""
    z = (number * 0x9E3779B97F4A7C15 + seed) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def lot(seed: int, number: int, weight: float) -> float:
    """A draw; sorting by it, smallest first, puts heavier ones first in proportion to weight."""
    return -log((mix(seed, number) + 1) / (_MASK + 2)) / weight
