"""A planted bug: one mistake that can be put into production code for the length of a run.

A plant replaces a function where its callers look it up: on its module, or on its class. It comes
before a world is built, as some parts keep bound methods from their start on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """A mistake, the scenario in which it does harm, and how it is put in.

    `ids` are the numbers of Apache Mesos's tracker that tell of the like. `plant()` is a context
    manager; afterwards all is as it was.
    """

    name: str
    area: str
    paraphrase: str
    plant: Callable[[], AbstractContextManager[None]]
    ids: tuple[int, ...] = ()


@contextmanager
def _swapped(swaps: tuple[tuple[Any, str, Any], ...]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, variant in swaps:
            stack.callback(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, variant)
        yield


def swap(*swaps: tuple[Any, str, Any]) -> Callable[[], AbstractContextManager[None]]:
    """Makes a plant of (module or class, name, variant)."""
    return partial(_swapped, swaps)
