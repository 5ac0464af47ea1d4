"""How a daemon that holds much keeps Python's garbage collector from stopping it.

A full collection looks at every container object: a fifth of a second for 10,000 agents with ten
tasks each. What such a daemon holds is freed by its reference counts; cycles are short-lived (a
callback and its failure, a recursive function). So only young objects are collected, and whatever
survives two collections is set aside for good. A cycle that forms among old objects is never
freed: whoever drops a long-lived object must leave none.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Final

#: New container objects after which the youngest are collected: a millisecond or two.
YOUNG: Final = 5_000
#: Collections of the youngest after which the survivors are collected: 5 to 10 ms.
MIDDLE: Final = 2
#: The old are set aside before so many have come.
OLD: Final = 1_000_000


class Collector:
    """The collector of this process, from `start` on.

    `seconds` is a monotonic clock; `observed` is told the seconds that each collection took.
    """

    def __init__(
        self, seconds: Callable[[], float], observed: Callable[[float], object] = lambda took: None
    ) -> None:
        self._seconds = seconds
        self._observed = observed
        self._began = 0.0

    def start(self) -> None:
        """Collections are small from here on; the imported modules are set aside."""
        gc.set_threshold(YOUNG, MIDDLE, OLD)
        gc.callbacks.append(self.collected)
        self.settle()

    def stop(self) -> None:
        """No collection is watched any more; the thresholds stay."""
        if self.collected in gc.callbacks:
            gc.callbacks.remove(self.collected)

    def settle(self) -> None:
        """One full collection, then nothing that is there now is ever looked at again.

        For the moments when nobody is served yet.
        """
        gc.collect()
        gc.freeze()

    def collected(self, phase: str, info: Mapping[str, int]) -> None:
        """What `gc.callbacks` calls before and after each collection."""
        if phase == "start":
            self._began = self._seconds()
            return
        if info["generation"] > 0:
            # The survivors have just become old, and nothing younger is left: set them aside.
            gc.freeze()
        self._observed(self._seconds() - self._began)
