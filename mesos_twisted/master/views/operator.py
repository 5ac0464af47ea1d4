"""The read calls of the operator API: GET_STATE and its parts, in JSON and in protobuf.

An answer is put together in steps of some records each. Which records it has is settled when it is
asked for; how each looks is settled at its step, with tasks and agents from their cached fragments.
Each step yields the records it looked at, so that whoever also tells of changes knows which of
them the answer shows already.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeAlias

import msgspec

from mesos_twisted.master.core.published import agent_message, framework_message, task_message
from mesos_twisted.master.core.published import resource_messages as both_formats
from mesos_twisted.master.core.state import Agent, Executor, Framework, MasterState, Offer, Task
from mesos_twisted.master.views.fragments import BATCH, Fragments
from mesos_twisted.master.views.groups import Group, Items, wire_pieces
from mesos_twisted.master.views.visible import EVERYTHING, Visible
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.protocol.media import Media
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.convert import from_messages

Encode: TypeAlias = Callable[[Message], bytes]
#: The tasks, agents and frameworks that a step looked at.
Looked: TypeAlias = Sequence[Task | Agent | Framework]
Steps: TypeAlias = Generator[Looked, None, Group]
CODECS: dict[Media, Encode] = {
    Media.JSON: codec_json.encode,
    Media.PROTOBUF: codec_protobuf.encode,
}
#: A framework with the tasks of each kind that were its own when it was asked for.
_Listed: TypeAlias = tuple[Framework, list[Task], list[Task], list[Task]]


class Gathering:
    """An answer being put together: iterate it to the end, then take its `group`."""

    __slots__ = ("_steps", "group")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.group: Group

    def __iter__(self) -> Iterator[Looked]:
        self.group = yield from self._steps


class OperatorViews:
    """The groups over one state, with the fragments of each encoding."""

    def __init__(self, state: MasterState) -> None:
        self._state = state
        self._asked: dict[Media, tuple[int, int]] = {}
        self._tasks: dict[Media, Fragments[Task]] = {}
        self._agents: dict[Media, Fragments[Agent]] = {}
        for media, encode in CODECS.items():
            self._tasks[media] = _task_fragments(encode)
            self._agents[media] = self._agent_fragments(encode)

    def forget_idle(self) -> None:
        """Give the memory back of fragments that nobody asked for since the last call."""
        for media in CODECS:
            before = self._asked.get(media, (-1, -1))
            self._asked[media] = (
                self._tasks[media].forget_idle(before[0]),
                self._agents[media].forget_idle(before[1]),
            )

    def warm(self, media: Media) -> Iterator[None]:
        """Render what is missing of tasks and agents, a little at each step."""
        tasks: list[Task] = []
        for framework in (*self._state.frameworks.values(), *self._state.completed.values()):
            tasks += framework.tasks.values()
            tasks += framework.unreachable.values()
            tasks += framework.completed
        known = self._state.agents
        agents = list(known.values())
        self._tasks[media].trim(len(tasks))
        self._agents[media].trim(len(agents))
        yield from self._agents[media].warm(a for a in agents if known.get(a.agent_id) is a)
        yield from self._tasks[media].warm(tasks)

    def state(self, visible: Visible, media: Media) -> Steps:
        """All of GET_STATE."""
        return self._state_steps(
            self.frameworks(visible, media),
            self.executors(visible, media),
            self.agents(visible, media),
            self.tasks(visible, media),
        )

    def _state_steps(
        self, frameworks: Steps, executors: Steps, agents: Steps, tasks: Steps
    ) -> Steps:
        parts = (
            ("get_agents", (yield from agents)),
            ("get_frameworks", (yield from frameworks)),
            ("get_executors", (yield from executors)),
            ("get_tasks", (yield from tasks)),
        )
        return Group(m.MasterResponseGetState, groups=parts[::-1])

    def tasks(self, visible: Visible, media: Media) -> Steps:
        """GET_TASKS: live tasks, unreachable ones and the bounded history."""
        state = self._state
        listed: list[_Listed] = [
            (one, list(one.tasks.values()), list(one.unreachable.values()), list(one.completed))
            for one in (*state.frameworks.values(), *state.completed.values())
            if visible.framework(one)
        ]
        self._tasks[media].trim(sum(len(one) for _, *kinds in listed for one in kinds))
        return self._task_steps(listed, visible, self._tasks[media].of)

    def _task_steps(
        self, listed: list[_Listed], visible: Visible, render: Callable[[Task], bytes]
    ) -> Steps:
        live, unreachable, completed = Items(), Items(), Items()
        for framework, *kinds in listed:
            for tasks, out in zip(kinds, (live, unreachable, completed), strict=True):
                for at in range(0, len(tasks), BATCH):
                    batch = tasks[at : at + BATCH]
                    shown = [
                        render(task)
                        for task in batch
                        if visible.everything or visible.task(framework, task)
                    ]
                    out.add(shown)
                    yield batch
        return Group(
            m.MasterResponseGetTasks,
            (("tasks", live), ("unreachable_tasks", unreachable), ("completed_tasks", completed)),
            kept=("tasks", "unreachable_tasks", "completed_tasks"),
        )

    def executors(self, visible: Visible, media: Media) -> Steps:
        """GET_EXECUTORS: those that frameworks named."""
        found = [
            (framework, one)
            for framework in self._state.frameworks.values()
            if framework.executors and visible.framework(framework)
            for executors in framework.executors.values()
            for one in executors.values()
        ]
        return self._executor_steps(found, visible, CODECS[media])

    def _executor_steps(
        self, found: list[tuple[Framework, Executor]], visible: Visible, encode: Encode
    ) -> Steps:
        items = Items()
        for at in range(0, len(found), BATCH):
            items.add(
                [
                    encode(
                        m.MasterResponseGetExecutorsExecutor(
                            executor_info=one.info, agent_id=m.AgentID(value=one.agent_id)
                        )
                    )
                    for framework, one in found[at : at + BATCH]
                    if visible.executor(framework, one)
                ]
            )
            yield ()
        return Group(m.MasterResponseGetExecutors, (("executors", items),), kept=("executors",))

    def frameworks(self, visible: Visible, media: Media) -> Steps:
        """GET_FRAMEWORKS: those that are, and those that were."""
        live, past = (
            [one for one in table.values() if visible.framework(one)]
            for table in (self._state.frameworks, self._state.completed)
        )
        return self._framework_steps(live, past, media)

    def _framework_steps(self, live: list[Framework], past: list[Framework], media: Media) -> Steps:
        shown, over = Items(), Items()
        for frameworks, out in ((live, shown), (past, over)):
            for one in frameworks:
                offers = Items()
                open_offers = list(one.offers.values())
                for at in range(0, len(open_offers), BATCH):
                    offers.add(self._offers(open_offers[at : at + BATCH], media))
                    yield ()
                out.add([with_offers(CODECS[media](framework_message(one)), offers, media)])
                yield (one,)
        return Group(
            m.MasterResponseGetFrameworks,
            (("frameworks", shown), ("completed_frameworks", over)),
            kept=("frameworks", "completed_frameworks"),
        )

    def _offers(self, offers: list[Offer], media: Media) -> list[bytes]:
        agents, encode = self._state.agents, CODECS[media]
        return [
            encode(
                m.Offer(
                    id=m.OfferID(value=one.offer_id),
                    framework_id=m.FrameworkID(value=one.framework_id),
                    agent_id=m.AgentID(value=one.agent_id),
                    hostname=agents[one.agent_id].hostname,
                    resources=both_formats(one.resources),
                    allocation_info=m.ResourceAllocationInfo(role=one.role),
                )
            )
            for one in offers
            if one.agent_id in agents
        ]

    def agents(self, visible: Visible, media: Media) -> Steps:
        """GET_AGENTS: those registered, and those expected back."""
        state = self._state
        registered, recovered = list(state.agents.values()), list(state.recovered.values())
        self._agents[media].trim(len(registered))
        return self._agent_steps(registered, recovered, visible, media)

    def _agent_steps(
        self,
        registered: list[Agent],
        recovered: list[m.AgentInfo],
        visible: Visible,
        media: Media,
    ) -> Steps:
        encode, known = CODECS[media], self._state.agents
        whole = self._agents[media].of if visible.everything else None
        shown, expected = Items(), Items()
        for at in range(0, len(registered), BATCH):
            # What is said of an agent comes from its books, which go with it.
            batch = [a for a in registered[at : at + BATCH] if known.get(a.agent_id) is a]
            shown.add(
                [encode(self._agent(a, visible)) if whole is None else whole(a) for a in batch]
            )
            yield batch
        for at in range(0, len(recovered), BATCH):
            expected.add(
                [encode(_only_visible(info, visible)) for info in recovered[at : at + BATCH]]
            )
            yield ()
        return Group(
            m.MasterResponseGetAgents,
            (("agents", shown), ("recovered_agents", expected)),
            kept=("agents", "recovered_agents"),
        )

    def _agent_fragments(self, encode: Encode) -> Fragments[Agent]:
        return Fragments(lambda agent: encode(self._agent(agent, EVERYTHING)))

    def _agent(self, agent: Agent, visible: Visible) -> m.MasterResponseGetAgentsAgent:
        return visible_agent(agent_message(self._state, agent), visible)


def with_offers(framework: bytes, offers: Items, media: Media) -> bytes:
    """An encoded framework (which has more than no fields) with its `offers` added at its end."""
    if not offers.all:
        return framework
    if media is Media.JSON:
        return b"".join([framework[:-1], b',"offers":[', b",".join(offers.all), b"]}"])
    group = Group(m.MasterResponseGetFrameworksFramework, (("offers", offers),))
    return framework + b"".join(wire_pieces(group))


def visible_agent(
    whole: m.MasterResponseGetAgentsAgent, visible: Visible
) -> m.MasterResponseGetAgentsAgent:
    """An agent without the resources reserved for roles that may not be seen."""
    if visible.everything:
        return whole
    return msgspec.structs.replace(
        whole,
        agent_info=_only_visible(whole.agent_info, visible),
        total_resources=_filtered(whole.total_resources, visible),
        allocated_resources=_filtered(whole.allocated_resources, visible),
        offered_resources=_filtered(whole.offered_resources, visible),
    )


def _task_fragments(encode: Encode) -> Fragments[Task]:
    return Fragments(lambda task: encode(task_message(task)))


def _filtered(items: tuple[m.Resource, ...], visible: Visible) -> tuple[m.Resource, ...]:
    held = from_messages(items)
    if not isinstance(held, Resources):
        return ()
    return both_formats(Resources.of(one for one in held if visible.resource(one)))


def _only_visible(info: m.AgentInfo, visible: Visible) -> m.AgentInfo:
    if visible.everything:
        return info
    return msgspec.structs.replace(info, resources=_filtered(info.resources, visible))
