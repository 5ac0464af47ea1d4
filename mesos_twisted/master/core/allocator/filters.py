"""Refused resources: which clients do not want what, on which agent, until when.

A filter stops an offer that is contained in what was refused. Clients are bits: an agent maps each
refused value to the set of clients that refused it, so a thousand declines of the same resources
are one entry. Expiry is kept in buckets of a tenth of a second, and comes in
the first one after the deadline. Knows no shares and no
roles.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from math import floor
from typing import Final

from mesos_twisted.master.core.allocator.interface import DEFAULT_REFUSE_S, LONGEST_REFUSE_S
from mesos_twisted.resources.algebra import Resources

TICKS_PER_SECOND: Final = 10


class Refusals:
    """What clients refuse on one agent: refused resources to a set of client bits."""

    __slots__ = ("masks", "ticks")

    def __init__(self) -> None:
        self.masks: dict[Resources, int] = {}
        self.ticks: set[int] = set()

    def blocked(self, offer: Resources) -> int:
        """The clients that refused `offer` or more."""
        blocked = 0
        for refused, mask in self.masks.items():
            if refused.contains(offer):
                blocked |= mask
        return blocked


Bucket = dict[Refusals, dict[Resources, int]]


class Filters:
    """The expiry of all refusals of all agents."""

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}
        self._ticks: list[int] = []

    def add(self, refusals: Refusals, bit: int, refused: Resources, deadline: float) -> None:
        """Stop offers within `refused` to the client `bit` until `deadline` at least."""
        tick = floor(deadline * TICKS_PER_SECOND) + 1
        masks = refusals.masks
        mask = masks.get(refused, 0)
        if mask & bit and not self._outlives(refusals, bit, refused, tick):
            return
        masks[refused] = mask | bit
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heappush(self._ticks, tick)
        group = bucket.get(refusals)
        if group is None:
            bucket[refusals] = {refused: bit}
            refusals.ticks.add(tick)
        else:
            group[refused] = group.get(refused, 0) | bit

    def expire(self, now: float) -> list[Refusals]:
        """Drop what ended by `now`; the agents whose refusals shrank, in order of expiry."""
        changed: list[Refusals] = []
        ticks = self._ticks
        while ticks and ticks[0] <= now * TICKS_PER_SECOND:
            tick = heappop(ticks)
            for refusals, group in self._buckets.pop(tick).items():
                refusals.ticks.discard(tick)
                for refused, mask in group.items():
                    left = refusals.masks.get(refused, 0) & ~mask
                    if left:
                        refusals.masks[refused] = left
                    else:
                        refusals.masks.pop(refused, None)
                changed.append(refusals)
        return changed

    def next_deadline(self, now: float) -> float | None:
        """When `expire` will next find something, not before `now`."""
        return max(now, self._ticks[0] / TICKS_PER_SECOND) if self._ticks else None

    def forget(self, refusals: Refusals) -> None:
        """Drop all refusals of one agent."""
        for tick in refusals.ticks:
            del self._buckets[tick][refusals]
        refusals.ticks.clear()
        refusals.masks.clear()

    def scrub(self, dead: int, agents: Iterable[Refusals]) -> None:
        """Drop the bits `dead` everywhere, so that they may be given to other clients."""
        for refusals in agents:
            refusals.masks = _without(refusals.masks, dead)
        for bucket in self._buckets.values():
            for refusals, group in bucket.items():
                bucket[refusals] = _without(group, dead)

    def _outlives(self, refusals: Refusals, bit: int, refused: Resources, tick: int) -> bool:
        """Take an earlier refusal of the same out of its bucket; False if it ends later."""
        for held in refusals.ticks:
            group = self._buckets[held][refusals]
            if group.get(refused, 0) & bit:
                if held >= tick:
                    return False
                group[refused] &= ~bit
        return True


def refusal_time(refuse_seconds: float, allocation_interval_s: float) -> float:
    """For how many seconds a refusal holds; zero means none.

    Negative (or not a number) means the default, more than a year means a year, and a filter
    outlives the next allocation.
    """
    if not refuse_seconds >= 0:
        refuse_seconds = DEFAULT_REFUSE_S
    if refuse_seconds == 0:
        return 0.0
    return max(min(refuse_seconds, LONGEST_REFUSE_S), allocation_interval_s)


def _without(masks: dict[Resources, int], dead: int) -> dict[Resources, int]:
    return {refused: mask & ~dead for refused, mask in masks.items() if mask & ~dead}
