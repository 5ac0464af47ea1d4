"""A tree of fragments is the same message in both encodings, and as long as foretold."""

import pytest

from mesos_twisted.master.views.groups import (
    Group,
    Items,
    json_pieces,
    json_size,
    response_pieces,
    subscribed_pieces,
    subscribed_size,
    wire_pieces,
    wire_size,
)
from mesos_twisted.master.views.operator import CODECS
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.media import Media

DECODE = {Media.JSON: codec_json.decode, Media.PROTOBUF: codec_protobuf.decode}


def task(number: int, text: str) -> m.Task:
    """A task with some text in it."""
    return m.Task(
        name=text,
        task_id=m.TaskID(value=str(number)),
        framework_id=m.FrameworkID(value="f"),
        agent_id=m.AgentID(value="a"),
        state=m.TaskState.TASK_RUNNING,
    )


def state(count: int, length: int, media: Media) -> tuple[Group, tuple[m.Task, ...]]:
    """The group of a state with so many tasks, and the tasks."""
    tasks = tuple(task(i, "x" * length) for i in range(count))
    items = [CODECS[media](one) for one in tasks]
    inner = Group(
        m.MasterResponseGetTasks,
        (("tasks", Items(items)), ("completed_tasks", Items())),
        kept=("tasks",),
    )
    return Group(m.MasterResponseGetState, groups=(("get_tasks", inner),)), tasks


SIZES = [(0, 1), (1, 1), (1, 100), (3, 130), (40, 20000), (200, 5), (2, 1 << 21)]


@pytest.mark.parametrize(("count", "length"), SIZES)
@pytest.mark.parametrize("media", list(CODECS))
def test_pieces_are_the_message(media: Media, count: int, length: int) -> None:
    """The pieces decode to what was put in."""
    group, tasks = state(count, length, media)
    kind = m.MasterResponseType.GET_STATE
    raw = b"".join(response_pieces(kind, "get_state", group, media))
    response = DECODE[media](m.MasterResponse, raw)
    assert response.type is kind and response.get_state is not None
    assert response.get_state.get_tasks is not None
    assert response.get_state.get_tasks.tasks == tasks


@pytest.mark.parametrize(("count", "length"), SIZES)
@pytest.mark.parametrize("media", list(CODECS))
def test_sizes_are_foretold(media: Media, count: int, length: int) -> None:
    """A record's length goes out before its bytes."""
    group, tasks = state(count, length, media)
    pieces, size = {
        Media.JSON: (json_pieces(group), json_size(group)),
        Media.PROTOBUF: (wire_pieces(group), wire_size(group)),
    }[media]
    assert len(b"".join(pieces)) == size
    raw = b"".join(subscribed_pieces(group, 15.0, media))
    assert len(raw) == subscribed_size(group, 15.0, media)
    event = DECODE[media](m.MasterEvent, raw)
    assert event.subscribed is not None and event.subscribed.heartbeat_interval_seconds == 15.0
    found = event.subscribed.get_state
    assert found is not None and found.get_tasks is not None and found.get_tasks.tasks == tasks


def test_an_empty_group() -> None:
    """Nothing at all is an empty object, or no bytes."""
    group = Group(m.MasterResponseGetOperations)
    assert b"".join(json_pieces(group)) == b"{}" and json_size(group) == 2
    assert b"".join(wire_pieces(group)) == b"" and wire_size(group) == 0
