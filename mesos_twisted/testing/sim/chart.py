"""What happened in a world, as lines that a person can follow.

    12.034  m1     agent a2 says StatusUpdate f1.3 TASK_RUNNING
    12.036  f1     is told UPDATE f1.3 TASK_RUNNING
    15.500  FAULT  kill -9 a2

Lines come from the events that each core handled, so nothing of the production code is touched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from mesos_twisted.testing.sim.ledger import Launch, Seen
from mesos_twisted.testing.sim.world import World

#: Attributes that say which thing an event is about, in this order.
_TELLING: Final = (
    "type",
    "key",
    "task_id",
    "framework_id",
    "agent_id",
    "container_id",
    "executor_id",
    "state",
    "running",
    "number",
    "connected",
    "message",
)
#: Of no interest to who looks for a bug.
_DULL: Final = frozenset({"Ping", "Pong", "AllocationDue", "DiskMeasured"})
_LONGEST: Final = 46


class Chart:
    """Listens to a world from its beginning; `tell` takes each line."""

    def __init__(self, world: World, tell: Callable[[str], object], quiet: bool = False) -> None:
        """With `quiet` only faults, processes and what frameworks were told are shown."""
        self._world = world
        self._tell = tell
        self._quiet = quiet
        self._last: dict[int, Any] = {}
        self._exits = 0
        clock = world.clock
        self._then = clock.after_each
        clock.after_each = self._look
        clock.heard = self._heard
        self._told = world.ledger.heard
        world.ledger.heard = self._updated

    def _line(self, at: float, who: str, what: str) -> None:
        self._tell(f"{at:9.3f}  {who:<6} {what}")

    def _heard(self, at: float, who: str, what: str) -> None:
        if who == "fault":
            self._line(at, "FAULT", what)
        elif what in ("killed", "paused", "resumed", "power cut", "power on") or "follows" in what:
            self._line(at, who, what)

    def _updated(self, launch: Launch, seen: Seen) -> None:
        words = [seen.state.value, seen.message or "", "" if seen.uuid else "(no uuid)"]
        text = " ".join(word for word in words if word)
        self._line(seen.at, launch.framework, f"is told {launch.task_id} {text}")
        if self._told is not None:
            self._told(launch, seen)

    def _look(self) -> None:
        world = self._world
        if not self._quiet:
            for name, service in world.services.items():
                self._recent(name, service.driver.recent)
            for name, agent in world.agents.items():
                self._recent(name, agent.driver.recent)
        if len(world.exits) != self._exits:
            for left in world.exits[self._exits :]:
                self._line(left.at, left.who, f"leaves with {left.code}: {left.sentence}")
            self._exits = len(world.exits)
        if self._then is not None:
            self._then()

    def _recent(self, name: str, recent: deque[Any]) -> None:
        if not recent:
            return
        last = self._last.get(id(recent))
        if recent[-1] is last:
            return
        fresh: list[Any] = []
        for event in reversed(recent):
            if event is last:
                break
            fresh.append(event)
        self._last[id(recent)] = recent[-1]
        for event in reversed(fresh):
            words = describe(event)
            if words:
                self._line(self._world.clock.now, name, words)


def describe(event: Any) -> str:
    """One event in a few words; empty for a dull one."""
    kind = type(event).__name__
    inner = getattr(event, "message", None) if kind in ("AgentSaid", "MasterSaid") else None
    if inner is None and kind == "SchedulerCalled":
        inner = event.call
    name = kind if inner is None else f"{kind}: {type(inner).__name__}"
    if kind in _DULL or type(inner).__name__ in _DULL:
        return ""
    found = [name]
    for one in (event, inner):
        found += _words(one)
    return " ".join(found)


def _words(value: Any) -> list[str]:
    if value is None:
        return []
    found: list[str] = []
    for inner in ("status", "task"):
        found += _words(getattr(value, inner, None)) if hasattr(value, inner) else []
    for name in _TELLING:
        said = getattr(value, name, None)
        if said is None or (hasattr(said, "__struct_fields__") and not hasattr(said, "value")):
            continue
        text = str(getattr(said, "value", said))
        if name != "message" or isinstance(said, str):
            found.append(text[:_LONGEST])
    return found
