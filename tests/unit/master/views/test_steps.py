"""No step of a large answer looks at more than some records, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from bench import fleet
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.core import effects as fx
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.decide import decide
from mesos_twisted.master.core.published import resource_messages as both_formats
from mesos_twisted.master.core.state import MasterState, Offer, new_state
from mesos_twisted.master.net import setup
from mesos_twisted.master.views import entities, operator, pages
from mesos_twisted.master.views.facts import Facts
from mesos_twisted.master.views.fragments import BATCH
from mesos_twisted.master.views.groups import json_pieces, response_pieces
from mesos_twisted.master.views.operator import CODECS, Gathering, OperatorViews
from mesos_twisted.master.views.pages import Pages, TaskCounts
from mesos_twisted.master.views.visible import EVERYTHING, Visible
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, OfferId
from mesos_twisted.protocol.media import Media
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import Always, ObjectRef

AGENTS, TASKS = 100, 20
DECODE = {Media.JSON: codec_json.decode, Media.PROTOBUF: codec_protobuf.decode}


@pytest.fixture(scope="module")
def state() -> MasterState:
    """A hundred agents that came back with twenty tasks each."""
    config = MasterConfig()
    info = m.MasterInfo(id="steps", ip=0, port=5050, hostname="localhost")
    made = new_state(info, setup.policy(config), setup.allocator(config))
    decide(made, ev.Recovered(1.0))
    for number in range(AGENTS):
        said = fleet.returning(number, TASKS, 1.0)
        for effect in decide(made, ev.AgentSaid(ConnectionId(number), said, 2.0, "127.0.0.1")):
            if isinstance(effect, fx.ApplyRegistry):
                decide(made, ev.RegistryApplied(effect.number, 2.0))
    return made


class Counted:
    """How often something was looked at since the last step, and at most in one."""

    def __init__(self) -> None:
        self.now = self.most = self.total = 0

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted."""

        def counted(*args: Any) -> Any:
            self.now += 1
            return function(*args)

        return counted

    def take(self, steps: Iterator[Any]) -> list[Any]:
        """All steps."""
        taken = []
        for one in steps:
            taken.append(one)
            self._step()
        self._step()
        return taken

    def _step(self) -> None:
        self.most, self.total, self.now = max(self.most, self.now), self.total + self.now, 0


class _SomeTasks:
    """An approver of the tasks of one user's frameworks: nobody's here."""

    constant = None

    def __init__(self, asked: Counted) -> None:
        self.approves = asked.of(self._approves)

    def _approves(self, obj: ObjectRef) -> bool:
        return False


def nothing_seen(asked: Counted) -> Visible:
    """Every framework, and no task after asking about each."""
    return Visible(lambda a: _SomeTasks(asked) if a is Action.VIEW_TASK else Always(True))


@pytest.mark.parametrize("media", list(CODECS))
@pytest.mark.parametrize("answer", ["state", "tasks", "agents", "frameworks", "executors"])
def test_v1_answers(
    state: MasterState, media: Media, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is rendered in one step is one batch."""
    rendered = Counted()
    for name in ("task_message", "agent_message", "framework_message"):
        monkeypatch.setattr(operator, name, rendered.of(getattr(operator, name)))
    views = OperatorViews(state)
    gathering = Gathering(getattr(views, answer)(EVERYTHING, media))
    rendered.take(iter(gathering))
    assert rendered.most <= BATCH
    parts = {"tasks": AGENTS * TASKS, "agents": AGENTS, "frameworks": 10, "executors": 0}
    assert rendered.total == parts.get(answer, sum(parts.values()))


@pytest.mark.parametrize("media", list(CODECS))
def test_v1_warming(state: MasterState, media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rendered beforehand comes in batches as well."""
    rendered = Counted()
    for name in ("task_message", "agent_message"):
        monkeypatch.setattr(operator, name, rendered.of(getattr(operator, name)))
    rendered.take(OperatorViews(state).warm(media))
    assert rendered.most <= BATCH and rendered.total == AGENTS * TASKS + AGENTS


def test_tasks_that_may_not_be_seen_are_asked_about_in_batches(state: MasterState) -> None:
    """A page of none of them is no single step over all."""
    asked = Counted()
    visible = nothing_seen(asked)
    gathering = Gathering(OperatorViews(state).tasks(visible, Media.JSON))
    asked.take(iter(gathering))
    assert asked.most <= BATCH and asked.total == AGENTS * TASKS
    assert b"".join(json_pieces(gathering.group)).startswith(b'{"tasks":[]')
    asked = Counted()
    page = b"".join(asked.take(Pages(state, Facts("1")).state(nothing_seen(asked), None)))
    assert asked.most <= pages._TASKS and asked.total == AGENTS * TASKS
    assert all(one["tasks"] == [] for one in msgspec.json.decode(page)["frameworks"])


def test_v0_pages(state: MasterState, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks, and agents with all their resources, come in batches."""
    rendered = Counted()
    for name in ("task", "agent", "agent_full"):
        monkeypatch.setattr(entities, name, rendered.of(getattr(entities, name)))
    made = Pages(state, Facts("1"))
    page = msgspec.json.decode(b"".join(rendered.take(made.state(EVERYTHING, None))))
    assert sum(len(one["tasks"]) for one in page["frameworks"]) == AGENTS * TASKS
    assert rendered.most <= BATCH and rendered.total >= AGENTS * TASKS
    rendered = Counted()
    monkeypatch.setattr(entities, "agent_full", rendered.of(entities.agent_full))
    page = msgspec.json.decode(b"".join(rendered.take(made.slaves(EVERYTHING, None))))
    assert len(page["slaves"]) == rendered.total == AGENTS
    assert rendered.most <= pages._AGENTS


def test_tasks_are_counted_and_sorted_in_batches(
    state: MasterState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/state-summary and /tasks look at some tasks at a time."""
    monkeypatch.setattr(pages, "_TASKS", 50)
    sizes: list[int] = []
    counts = TaskCounts(state)
    count = counts._count
    monkeypatch.setattr(
        counts, "_count", lambda key, tasks: (sizes.append(len(tasks)), count(key, tasks))
    )
    list(counts.steps())
    assert max(sizes) == 50 and sum(sizes) == AGENTS * TASKS
    looked = Counted()
    monkeypatch.setattr(pages, "_first_seen", looked.of(pages._first_seen))
    made = Pages(state, Facts("1"))
    page = b"".join(looked.take(made.tasks_page(EVERYTHING, limit=3, offset=2)))
    assert len(msgspec.json.decode(page)["tasks"]) == 3
    assert looked.most <= 50 + AGENTS * TASKS // 50  # the parts' first ones, when they are merged


def test_offers_of_a_framework_come_in_batches_and_are_all_told(
    state: MasterState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A framework that holds many offers is one message in both encodings."""
    framework = next(iter(state.frameworks.values()))
    held = resources_from_text("cpus:1").allocate("*")
    for number, agent_id in enumerate(list(state.agents) * 2):
        offer = Offer(OfferId(f"O{number}"), framework.framework_id, agent_id, "*", held)
        framework.offers[offer.offer_id] = offer
    try:
        seen = []
        for media in CODECS:
            rendered = Counted()
            monkeypatch.setattr(operator, "both_formats", rendered.of(both_formats))
            gathering = Gathering(OperatorViews(state).frameworks(EVERYTHING, media))
            rendered.take(iter(gathering))
            assert rendered.most <= BATCH and rendered.total == 2 * AGENTS
            kind = m.MasterResponseType.GET_FRAMEWORKS
            raw = b"".join(response_pieces(kind, "get_frameworks", gathering.group, media))
            response = DECODE[media](m.MasterResponse, raw)
            assert response.get_frameworks is not None
            seen.append([len(one.offers) for one in response.get_frameworks.frameworks])
        assert seen[0] == seen[1] and sorted(seen[0]) == [0] * 9 + [2 * AGENTS]
    finally:
        framework.offers.clear()
