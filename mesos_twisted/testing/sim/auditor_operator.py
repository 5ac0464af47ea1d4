"""An operator that listens from the first event on: I15.

It keeps tasks, agents and frameworks by the events of the operator stream alone, and now and then
compares them with the whole state as the master would render it for a new subscriber. It hears
beside the real subscribers, so nothing is written for it.

No event tells of a task that leaves the tables when its end was acknowledged, of an agent whose
link broke, or of history that is cut; so ended tasks may be missing, and agents are compared by id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from mesos_twisted.master.views.groups import json_pieces
from mesos_twisted.master.views.operator import Gathering
from mesos_twisted.master.views.visible import EVERYTHING
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.media import Media
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.testing.sim.auditor_scene import Check, MasterLife, Scene

_Kind = m.MasterEventType
_Key: TypeAlias = tuple[str, str]
#: A snapshot is taken and compared so often.
EVERY_S = 15
_LEFT = TERMINAL | {m.TaskState.TASK_UNREACHABLE}


@dataclass(slots=True)
class Mirror:
    """What an operator knows of one master."""

    tasks: dict[_Key, m.TaskState] = field(default_factory=dict)
    agents: set[str] = field(default_factory=set)
    #: Active, connected, recovered.
    frameworks: dict[str, tuple[bool, bool, bool]] = field(default_factory=dict)

    def apply(self, event: m.MasterEvent) -> str | None:
        """One event; what is wrong with it, if anything."""
        if event.task_added is not None:
            task = event.task_added.task
            self.tasks[task.framework_id.value, task.task_id.value] = task.state
        elif event.task_updated is not None:
            told = event.task_updated
            key = (told.framework_id.value, told.status.task_id.value)
            if key not in self.tasks:
                return f"Task {key[1]} was updated and never added"
            self.tasks[key] = told.state
        elif event.agent_added is not None:
            info = event.agent_added.agent.agent_info
            self.agents.add("" if info.id is None else info.id.value)
        elif event.agent_removed is not None:
            name = event.agent_removed.agent_id.value
            if name not in self.agents:
                return f"Agent {name} was removed and never added"
            self.agents.discard(name)
        elif event.framework_added is not None:
            self._framework(event.framework_added.framework)
        elif event.framework_updated is not None:
            name = self._framework(event.framework_updated.framework)
        elif event.framework_removed is not None:
            gone = event.framework_removed.framework_info.id
            self.frameworks.pop("" if gone is None else gone.value, None)
        return None

    def _framework(self, one: m.MasterResponseGetFrameworksFramework) -> str:
        name = "" if one.framework_info.id is None else one.framework_info.id.value
        self.frameworks[name] = (bool(one.active), bool(one.connected), bool(one.recovered))
        return name

    def differences(self, snapshot: m.MasterResponseGetState) -> list[str]:
        """Where the snapshot says something else."""
        found: list[str] = []
        tasks = snapshot.get_tasks or m.MasterResponseGetTasks()
        # What agents bring of the past may say more than was told.
        shown = {(t.framework_id.value, t.task_id.value) for t in tasks.completed_tasks}
        live = {
            (t.framework_id.value, t.task_id.value): t.state
            for t in (*tasks.unreachable_tasks, *tasks.tasks)
        }
        for key, state in live.items():
            if self.tasks.get(key) is not state:
                found.append(f"task {key[1]} is {state.value}, not {self.tasks.get(key)}")
        for key, state in self.tasks.items():
            if key not in live and key not in shown and state not in _LEFT:
                found.append(f"task {key[1]} is {state.value} and not shown")
        agents = snapshot.get_agents or m.MasterResponseGetAgents()
        ids = {one.agent_info.id.value for one in agents.agents if one.agent_info.id is not None}
        found += [f"agent {name} is in one of them only" for name in sorted(ids ^ self.agents)]
        frameworks = Mirror()
        for one in (snapshot.get_frameworks or m.MasterResponseGetFrameworks()).frameworks:
            frameworks._framework(one)
        for name in sorted(frameworks.frameworks.keys() | self.frameworks.keys()):
            there, here = frameworks.frameworks.get(name), self.frameworks.get(name)
            if there != here:
                found.append(f"framework {name} is {there}, not {here}")
        return found


class Operator(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.mirrors: dict[MasterLife, Mirror] = {}
        self._next = float(EVERY_S)

    def listen(self, life: MasterLife) -> None:
        """From the beginning: this master knows nothing yet."""
        self.mirrors = {life: Mirror()}
        self.keep(life)

    def keep(self, life: MasterLife) -> None:
        """Events are made although no stream is open."""
        if life.state.operator_subscribers == 0:
            life.state.operator_subscribers = 1

    def published(self, life: MasterLife, event: m.MasterEvent) -> None:
        """An event for operators."""
        mirror = self.mirrors.get(life)
        problem = None if mirror is None else mirror.apply(event)
        if problem is not None:
            self.scene.violated("I15", problem)

    def second(self) -> None:
        """A comparison, now and then."""
        if self.scene.now >= self._next:
            self._next = self.scene.now + EVERY_S
            self.settled()

    def settled(self) -> None:
        """A comparison."""
        for life in self.scene.leading():
            mirror = self.mirrors.get(life)
            if mirror is None:
                continue
            for sentence in mirror.differences(snapshot(life)):
                self.scene.violated("I15", f"Operators were not told that {sentence}")


def snapshot(life: MasterLife) -> m.MasterResponseGetState:
    """The whole state as a new subscriber would get it."""
    gathering = Gathering(life.service.views.state(EVERYTHING, Media.JSON))
    for _ in gathering:
        pass
    try:
        return codec_json.decode(m.MasterResponseGetState, b"".join(json_pieces(gathering.group)))
    except msgspec.DecodeError as error:
        raise AssertionError(f"The snapshot cannot be read: {error}") from error
