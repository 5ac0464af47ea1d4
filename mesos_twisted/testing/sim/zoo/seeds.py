"""Which seed finds which planted bug, and the invariant that its world breaks.

A change of production code, of the faults or of the frameworks may move what a seed does: then
another one finds the bug, and `hunt` says which.
"""

from __future__ import annotations

from typing import Final

#: Bug to seed and invariant.
FOUND: Final[dict[str, tuple[int, str]]] = {}

#: Bugs that no seed was seen to find, and what is missing for it.
NOT_FOUND: Final[dict[str, str]] = {}
