"""The read calls of the operator API: GET_STATE and its parts, in JSON and in protobuf.

A document is a tree of named groups whose leaves are rendered messages; the same tree is written
in either encoding, with tasks and agents from their cached fragments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import msgspec

from mesos_twisted.master.core.published import agent_message, framework_message, task_message
from mesos_twisted.master.core.published import resource_messages as both_formats
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Task
from mesos_twisted.master.views.fragments import Fragments, joined
from mesos_twisted.master.views.visible import EVERYTHING, Visible
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.protocol.generated.wire import FIELDS
from mesos_twisted.protocol.media import Media
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.convert import from_messages

Encode: TypeAlias = Callable[[Message], bytes]
CODECS: dict[Media, Encode] = {
    Media.JSON: codec_json.encode,
    Media.PROTOBUF: codec_protobuf.encode,
}


@dataclass(frozen=True, slots=True)
class Group:
    """A message whose fields are lists of rendered messages, or further groups.

    `kept` names the lists that JSON shows even when empty, as Mesos does.
    """

    kind: type[Message]
    lists: tuple[tuple[str, list[bytes]], ...] = ()
    groups: tuple[tuple[str, Group], ...] = ()
    kept: tuple[str, ...] = ()


@cache
def field_number(kind: type[Message], name: str) -> int:
    """The number of a field by its name."""
    return next(row[0] for row in FIELDS[kind] if row[1] == name)


def json_pieces(group: Group) -> Iterator[bytes]:
    """The group as a JSON object, in pieces."""
    lead = b"{"
    for name, inner in group.groups:
        yield lead + b'"' + name.encode() + b'":'
        yield from json_pieces(inner)
        lead = b","
    for name, items in group.lists:
        if items or name in group.kept:
            yield from joined(items, lead + b'"' + name.encode() + b'":[', b"]")
            lead = b","
    yield b"}" if lead == b"," else b"{}"


def json_size(group: Group) -> int:
    """Bytes of the group as JSON."""
    size = 2
    members = 0
    for name, inner in group.groups:
        size += len(name) + 3 + json_size(inner)
        members += 1
    for name, items in group.lists:
        if items or name in group.kept:
            size += len(name) + 5 + sum(map(len, items)) + max(0, len(items) - 1)
            members += 1
    return size + max(0, members - 1)


def wire_size(group: Group) -> int:
    """Bytes of the group as protobuf."""
    varint = codec_protobuf.varint
    size = 0
    for name, inner in group.groups:
        inner_size = wire_size(inner)
        head = varint(field_number(group.kind, name) << 3 | 2) + varint(inner_size)
        size += len(head) + inner_size
    for name, items in group.lists:
        tag = len(varint(field_number(group.kind, name) << 3 | 2))
        for item in items:
            length = len(item)
            size += tag + length + (1 if length < 128 else 2 if length < 16384 else 3)
            if length >= 1 << 21:
                size += len(varint(length)) - 3
    return size


def wire_pieces(group: Group) -> Iterator[bytes]:
    """The group as protobuf, without its own tag and length, in pieces."""
    varint = codec_protobuf.varint
    for name, inner in group.groups:
        yield varint(field_number(group.kind, name) << 3 | 2) + varint(wire_size(inner))
        yield from wire_pieces(inner)
    for name, items in group.lists:
        tag = varint(field_number(group.kind, name) << 3 | 2)
        for at in range(0, len(items), 32):
            yield b"".join(
                [part for item in items[at : at + 32] for part in (tag, varint(len(item)), item)]
            )


def response_pieces(
    call: m.MasterResponseType, name: str, group: Group, media: Media
) -> Iterator[bytes]:
    """A MasterResponse that holds this one group."""
    if media is Media.JSON:
        yield f'{{"type":"{call.value}","{name}":'.encode()
        yield from json_pieces(group)
        yield b"}"
        return
    varint = codec_protobuf.varint
    yield codec_protobuf.encode(m.MasterResponse(type=call))
    yield varint(field_number(m.MasterResponse, name) << 3 | 2) + varint(wire_size(group))
    yield from wire_pieces(group)


def subscribed_pieces(state: Group, heartbeat_s: float, media: Media) -> Iterator[bytes]:
    """The first event of an operator's stream: the whole state."""
    if media is Media.JSON:
        yield b'{"type":"SUBSCRIBED","subscribed":{"get_state":'
        yield from json_pieces(state)
        yield f',"heartbeat_interval_seconds":{heartbeat_s!r}}}}}'.encode()
        return
    varint = codec_protobuf.varint
    rest = codec_protobuf.encode(m.MasterEventSubscribed(heartbeat_interval_seconds=heartbeat_s))
    size = wire_size(state)
    head = varint(field_number(m.MasterEventSubscribed, "get_state") << 3 | 2) + varint(size)
    whole = len(head) + size + len(rest)
    yield codec_protobuf.encode(m.MasterEvent(type=m.MasterEventType.SUBSCRIBED))
    yield varint(field_number(m.MasterEvent, "subscribed") << 3 | 2) + varint(whole) + head
    yield from wire_pieces(state)
    yield rest


def subscribed_size(state: Group, heartbeat_s: float, media: Media) -> int:
    """Bytes of `subscribed_pieces`."""
    frame = Group(state.kind)
    empty = sum(map(len, subscribed_pieces(frame, heartbeat_s, media)))
    if media is Media.JSON:
        return empty - 2 + json_size(state)
    varint, size = codec_protobuf.varint, wire_size(state)
    rest = len(
        codec_protobuf.encode(m.MasterEventSubscribed(heartbeat_interval_seconds=heartbeat_s))
    )
    grown = len(varint(size)) - 1
    inner = 1 + 1 + rest
    return empty + size + grown + len(varint(inner + size + grown)) - len(varint(inner))


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
        tasks = [
            task
            for framework in (*self._state.frameworks.values(), *self._state.completed.values())
            for task in (
                *framework.tasks.values(),
                *framework.unreachable.values(),
                *framework.completed,
            )
        ]
        agents = list(self._state.agents.values())
        self._tasks[media].trim(len(tasks))
        self._agents[media].trim(len(agents))
        yield from self._agents[media].warm(agents)
        yield from self._tasks[media].warm(tasks)

    def state(self, visible: Visible, media: Media) -> Group:
        """All of GET_STATE."""
        return Group(
            m.MasterResponseGetState,
            groups=(
                ("get_tasks", self.tasks(visible, media)),
                ("get_executors", self.executors(visible, media)),
                ("get_frameworks", self.frameworks(visible, media)),
                ("get_agents", self.agents(visible, media)),
            ),
        )

    def tasks(self, visible: Visible, media: Media) -> Group:
        """GET_TASKS: live tasks, unreachable ones and the bounded history."""
        state, fragments = self._state, self._tasks[media]
        fragments.asked += 1
        live: list[bytes] = []
        unreachable: list[bytes] = []
        completed: list[bytes] = []
        for framework in (*state.frameworks.values(), *state.completed.values()):
            if not visible.framework(framework):
                continue
            for tasks, out in (
                (framework.tasks.values(), live),
                (framework.unreachable.values(), unreachable),
                (framework.completed, completed),
            ):
                seen: Iterable[Task] = (
                    tasks
                    if visible.everything
                    else [task for task in tasks if visible.task(framework, task)]
                )
                out.extend(map(fragments.of, seen))
        return Group(
            m.MasterResponseGetTasks,
            (("tasks", live), ("unreachable_tasks", unreachable), ("completed_tasks", completed)),
            kept=("tasks", "unreachable_tasks", "completed_tasks"),
        )

    def executors(self, visible: Visible, media: Media) -> Group:
        """GET_EXECUTORS: those that frameworks named."""
        encode = CODECS[media]
        found = [
            encode(
                m.MasterResponseGetExecutorsExecutor(
                    executor_info=one.info, agent_id=m.AgentID(value=one.agent_id)
                )
            )
            for framework in self._state.frameworks.values()
            if visible.framework(framework)
            for executors in framework.executors.values()
            for one in executors.values()
            if visible.executor(framework, one)
        ]
        return Group(m.MasterResponseGetExecutors, (("executors", found),), kept=("executors",))

    def frameworks(self, visible: Visible, media: Media) -> Group:
        """GET_FRAMEWORKS: those that are, and those that were."""
        encode = CODECS[media]
        live, past = (
            [encode(self._framework(one)) for one in table.values() if visible.framework(one)]
            for table in (self._state.frameworks, self._state.completed)
        )
        return Group(
            m.MasterResponseGetFrameworks,
            (("frameworks", live), ("completed_frameworks", past)),
            kept=("frameworks", "completed_frameworks"),
        )

    def agents(self, visible: Visible, media: Media) -> Group:
        """GET_AGENTS: those registered, and those expected back."""
        encode = CODECS[media]
        registered = self._state.agents.values()
        self._agents[media].asked += 1
        if visible.everything:
            rendered = [self._agents[media].of(agent) for agent in registered]
        else:
            rendered = [encode(self._agent(agent, visible)) for agent in registered]
        recovered = [
            encode(_only_visible(info, visible)) for info in self._state.recovered.values()
        ]
        return Group(
            m.MasterResponseGetAgents,
            (("agents", rendered), ("recovered_agents", recovered)),
            kept=("agents", "recovered_agents"),
        )

    def _framework(self, item: Framework) -> m.MasterResponseGetFrameworksFramework:
        agents = self._state.agents
        return msgspec.structs.replace(
            framework_message(item),
            offers=tuple(
                m.Offer(
                    id=m.OfferID(value=one.offer_id),
                    framework_id=m.FrameworkID(value=one.framework_id),
                    agent_id=m.AgentID(value=one.agent_id),
                    hostname=agents[one.agent_id].hostname,
                    resources=both_formats(one.resources),
                    allocation_info=m.ResourceAllocationInfo(role=one.role),
                )
                for one in item.offers.values()
                if one.agent_id in agents
            ),
        )

    def _agent_fragments(self, encode: Encode) -> Fragments[Agent]:
        return Fragments(lambda agent: encode(self._agent(agent, EVERYTHING)))

    def _agent(self, agent: Agent, visible: Visible) -> m.MasterResponseGetAgentsAgent:
        return visible_agent(agent_message(self._state, agent), visible)


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
