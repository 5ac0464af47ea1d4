"""The legacy pages: /state, /state-summary, /slaves, /frameworks and /tasks.

Each gives pieces of one JSON document. Which records are on the page is settled when it is asked
for; how each looks is settled when its piece is taken, so a page of a hundred megabytes holds
nobody up and still shows every task once.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from mesos_twisted.master.core.published import agent_used
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Task
from mesos_twisted.master.views import documents as d
from mesos_twisted.master.views import entities
from mesos_twisted.master.views.documents import Doc
from mesos_twisted.master.views.facts import Facts
from mesos_twisted.master.views.fragments import BATCH, Fragments, joined
from mesos_twisted.master.views.visible import EVERYTHING, Visible
from mesos_twisted.protocol.generated import messages as m

#: Tasks on one page of /tasks when `limit` is not given.
TASK_LIMIT = 100
#: Agents in one piece, and tasks counted, asked about or sorted in one step.
_AGENTS, _TASKS = 8, 1024
SUMMARY_STATES = (
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A framework and the tasks that were its own when the page was asked for."""

    framework: Framework
    tasks: list[Task]
    unreachable: list[Task]
    completed: list[Task]


class TaskCounts:
    """Tasks of all kinds by state, for each agent and each framework; complete after `steps`."""

    def __init__(self, state: MasterState) -> None:
        self._state = state
        self._by_framework: Counter[tuple[str, str]] = Counter()
        self._by_agent: Counter[tuple[str, str]] = Counter()
        self.on_agent: dict[str, set[str]] = {}
        self.places: dict[str, set[str]] = {}

    def steps(self) -> Iterator[None]:
        """Count, a thousand tasks at each step."""
        for framework in list(self._state.frameworks.values()):
            tasks = list(framework.tasks.values())
            tasks += framework.unreachable.values()
            tasks += framework.completed
            for at in range(0, max(1, len(tasks)), _TASKS):
                self._count(framework.framework_id, tasks[at : at + _TASKS])
                yield None

    def of_agent(self, agent_id: str) -> Doc:
        """The counts that are shown of an agent."""
        return {word: self._by_agent[agent_id, word] for word in SUMMARY_STATES}

    def of_framework(self, framework_id: str) -> Doc:
        """The counts that are shown of a framework."""
        return {word: self._by_framework[framework_id, word] for word in SUMMARY_STATES}

    def _count(self, framework_id: str, tasks: list[Task]) -> None:
        places = self.places.setdefault(framework_id, set())
        counted = Counter([(task.agent_id, task.state._value_) for task in tasks])
        for (agent_id, word), count in counted.items():
            self._by_framework[framework_id, word] += count
            self._by_agent[agent_id, word] += count
            places.add(agent_id)
            self.on_agent.setdefault(agent_id, set()).add(framework_id)


class Pages:
    """The pages over one state; `tasks` and `agents` are what may be forgotten when idle."""

    def __init__(self, state: MasterState, facts: Facts) -> None:
        self._state = state
        self._facts = facts
        self._asked = (-1, -1)
        self.tasks: Fragments[Task] = Fragments(entities.task)
        self.agents: Fragments[Agent] = Fragments(lambda agent: self._agent(agent, EVERYTHING))

    def forget_idle(self) -> None:
        """Give the memory back of fragments that nobody asked for since the last call."""
        self._asked = (
            self.tasks.forget_idle(self._asked[0]),
            self.agents.forget_idle(self._asked[1]),
        )

    def state(self, visible: Visible, leader: m.MasterInfo | None) -> Iterator[bytes]:
        """The whole state; the largest page by far."""
        state = self._state
        listed = self._listed(state.frameworks.values(), visible)
        completed = self._listed(state.completed.values(), visible)
        agents = list(state.agents.values())
        recovered = list(state.recovered.values())
        head = d.encode(self._head(visible, leader))[:-1]
        live = sum(len(one.tasks) + len(one.unreachable) for one in listed)
        past = sum(len(one.completed) for one in (*listed, *completed))
        self.tasks.trim(live + past)
        self.agents.trim(len(agents))
        return self._state_pieces(head, agents, recovered, listed, completed, visible)

    def _state_pieces(
        self,
        head: bytes,
        agents: list[Agent],
        recovered: list[m.AgentInfo],
        listed: list[_Listed],
        completed: list[_Listed],
        visible: Visible,
    ) -> Iterator[bytes]:
        yield head
        yield from joined(self._agent_fragments(agents, visible), b',"slaves":[', b"]", _AGENTS)
        yield from joined(_infos(recovered), b',"recovered_slaves":[', b"]")
        yield from self._frameworks(listed, b',"frameworks":[', visible)
        yield from self._frameworks(completed, b',"completed_frameworks":[', visible)
        yield b',"orphan_tasks":[],"unregistered_frameworks":[]}'

    def _head(self, visible: Visible, leader: m.MasterInfo | None) -> Doc:
        state, info, facts = self._state, self._state.info, self._facts
        active = sum(agent.active for agent in state.agents.values())
        document: Doc = {
            "version": facts.version,
            "build_date": facts.build_date,
            "build_time": facts.build_time,
            "build_user": facts.build_user,
            "start_time": state.started_at,
        }
        if state.elected_at is not None:
            document["elected_time"] = state.elected_at
        document["id"] = info.id
        document["pid"] = info.pid or ""
        document["hostname"] = info.hostname or ""
        document["capabilities"] = [
            one.type.value for one in info.capabilities if one.type is not None
        ]
        document["activated_slaves"] = float(active)
        document["deactivated_slaves"] = float(len(state.agents) - active)
        document["unreachable_slaves"] = float(len(state.unreachable))
        if info.domain is not None:
            document["domain"] = d.raw(info.domain)
        if leader is not None:
            document["leader"] = leader.pid or ""
            document["leader_info"] = leader_document(leader)
        if visible.flags():
            if facts.cluster is not None:
                document["cluster"] = facts.cluster
            if facts.external_log_file is not None:
                document["external_log_file"] = facts.external_log_file
            document["flags"] = dict(facts.flags)
        return document

    def frameworks(self, visible: Visible, framework_id: str | None) -> Iterator[bytes]:
        """All frameworks, or one."""
        state = self._state
        listed = self._listed(state.frameworks.values(), visible, framework_id)
        completed = self._listed(state.completed.values(), visible, framework_id)
        return self._framework_pieces(listed, completed, visible)

    def _framework_pieces(
        self, listed: list[_Listed], completed: list[_Listed], visible: Visible
    ) -> Iterator[bytes]:
        yield from self._frameworks(listed, b'{"frameworks":[', visible)
        yield from self._frameworks(completed, b',"completed_frameworks":[', visible)
        yield b',"unregistered_frameworks":[]}'

    def slaves(self, visible: Visible, agent_id: str | None) -> Iterator[bytes]:
        """All agents with every resource, or one."""
        agents = [a for a in self._state.agents.values() if agent_id in (None, a.agent_id)]
        recovered = [info for key, info in self._state.recovered.items() if agent_id in (None, key)]
        return self._slave_pieces(agents, recovered, visible)

    def _slave_pieces(
        self, agents: list[Agent], recovered: list[m.AgentInfo], visible: Visible
    ) -> Iterator[bytes]:
        full = (
            d.encode(entities.agent_full(agent, agent_used(self._state, agent), visible))
            for agent in agents
            if agent.agent_id in self._state.agents
        )
        yield from joined(full, b'{"slaves":[', b"]", _AGENTS)
        yield from joined(_infos(recovered), b',"recovered_slaves":[', b"]}")

    def tasks_page(
        self,
        visible: Visible,
        *,
        limit: int = TASK_LIMIT,
        offset: int = 0,
        ascending: bool = False,
        framework_id: str | None = None,
        task_id: str | None = None,
    ) -> Iterator[bytes]:
        """Tasks of all kinds, by the time of their first status; newest first."""
        state = self._state
        listed = [
            one
            for table in (state.frameworks, state.completed)
            for one in self._listed(table.values(), visible, framework_id)
        ]
        return self._task_pieces(listed, visible, task_id, ascending, offset, offset + limit)

    def _task_pieces(
        self,
        listed: list[_Listed],
        visible: Visible,
        task_id: str | None,
        ascending: bool,
        begin: int,
        end: int,
    ) -> Iterator[bytes]:
        # Sorted a part at a time; the parts are merged as far as the page goes.
        parts: list[list[Task]] = []
        for one in listed:
            for tasks in (one.tasks, one.unreachable, one.completed):
                for batch in _seen(one.framework, tasks, visible):
                    if task_id is not None:
                        batch = [task for task in batch if task.task_id == task_id]
                    if batch:
                        parts.append(sorted(batch, key=_first_seen, reverse=not ascending))
                    yield b""
        merged = heapq.merge(*parts, key=_first_seen, reverse=not ascending)
        yield from joined(self.tasks.each(islice(merged, begin, end)), b'{"tasks":[', b"]}")

    def state_summary(self, visible: Visible, counts: TaskCounts) -> Iterator[bytes]:
        """Agents and frameworks with their tasks counted by state; `counts` are complete."""
        agents = list(self._state.agents.values())
        frameworks = [one for one in self._state.frameworks.values() if visible.framework(one)]
        head: Doc = {"hostname": self._state.info.hostname or ""}
        if self._facts.cluster is not None:
            head["cluster"] = self._facts.cluster
        return self._summary_pieces(d.encode(head)[:-1], agents, frameworks, counts, visible)

    def _summary_pieces(
        self,
        head: bytes,
        agents: list[Agent],
        frameworks: list[Framework],
        counts: TaskCounts,
        visible: Visible,
    ) -> Iterator[bytes]:
        shown = {one.framework_id for one in frameworks}

        def slaves() -> Iterator[bytes]:
            for agent in agents:
                tail = counts.of_agent(agent.agent_id)
                tail["framework_ids"] = sorted(counts.on_agent.get(agent.agent_id, set()) & shown)
                begun = self.agents.of(agent) if visible.everything else self._agent(agent, visible)
                yield begun[:-1] + b"," + d.encode(tail)[1:]

        def summaries() -> Iterator[bytes]:
            for framework in frameworks:
                document = entities.framework_summary(framework)
                document.update(counts.of_framework(framework.framework_id))
                places = counts.places.get(framework.framework_id, set())
                document["slave_ids"] = sorted(places)
                yield d.encode(document)

        self.agents.asked += 1
        yield head
        yield from joined(slaves(), b',"slaves":[', b"]", _AGENTS)
        # One at a time: a framework on a thousand agents takes a while to sum up.
        yield from joined(summaries(), b',"frameworks":[', b"]}", 1)

    def _agent(self, agent: Agent, visible: Visible) -> bytes:
        used = (
            agent_used(self._state, agent)
            if agent.agent_id in self._state.agents
            else agent.total.filter(lambda key: False)
        )
        return d.encode(entities.agent(agent, used, visible))

    def _agent_fragments(self, agents: Iterable[Agent], visible: Visible) -> Iterator[bytes]:
        if visible.everything:
            return self.agents.each(agents)
        return (self._agent(agent, visible) for agent in agents)

    def _listed(
        self,
        frameworks: Iterable[Framework],
        visible: Visible,
        framework_id: str | None = None,
    ) -> list[_Listed]:
        return [
            _Listed(
                one, list(one.tasks.values()), list(one.unreachable.values()), list(one.completed)
            )
            for one in frameworks
            if framework_id in (None, one.framework_id) and visible.framework(one)
        ]

    def _frameworks(
        self, listed: list[_Listed], before: bytes, visible: Visible
    ) -> Iterator[bytes]:
        lead = before
        for one in listed:
            yield lead + d.encode(entities.framework_head(one.framework))[:-1]
            lead = b","
            for name, tasks in (
                (b',"tasks":[', one.tasks),
                (b',"unreachable_tasks":[', one.unreachable),
                (b',"completed_tasks":[', one.completed),
            ):
                yield from self._array(one.framework, tasks, visible, name)
            yield b"," + d.encode(entities.framework_tail(one.framework, visible))[1:]
        yield b"]" if listed else before + b"]"

    def _array(
        self, owner: Framework, tasks: list[Task], visible: Visible, before: bytes
    ) -> Iterator[bytes]:
        """Those of a framework's tasks that may be seen, as a JSON array."""
        lead, render = before, self.tasks.of
        self.tasks.asked += 1
        for seen in _seen(owner, tasks, visible):
            yield b""  # Asking was a step of its own.
            for at in range(0, len(seen), BATCH):
                yield lead + b",".join([render(task) for task in seen[at : at + BATCH]])
                lead = b","
        yield b"]" if lead == b"," else before + b"]"


def leader_document(leader: m.MasterInfo) -> Doc:
    """The leading master as /state names it."""
    document: Doc = {
        "id": leader.id,
        "pid": leader.pid or "",
        "port": leader.port,
        "hostname": leader.hostname or "",
    }
    if leader.domain is not None:
        document["domain"] = d.raw(leader.domain)
    return document


def _seen(owner: Framework, tasks: list[Task], visible: Visible) -> Iterator[list[Task]]:
    """Those that may be seen, in batches of what was asked about in one step."""
    for at in range(0, len(tasks), _TASKS):
        batch = tasks[at : at + _TASKS]
        if not visible.everything:
            batch = [task for task in batch if visible.task(owner, task)]
        yield batch


def _infos(infos: Iterable[m.AgentInfo]) -> Iterator[bytes]:
    for info in infos:
        yield d.encode(entities.agent_info(info))


def _first_seen(task: Task) -> float:
    return (task.statuses[0].timestamp or 0.0) if task.statuses else float("-inf")
