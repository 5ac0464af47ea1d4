"""Mesos's wording of exits and durations, and keys that no id can escape from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_twisted.agent.core import paths, words
from mesos_twisted.protocol.generated import messages as m


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exited with status 0"),
        (127 << 8, "exited with status 127"),
        (15, "terminated with signal Terminated"),
        (9, "terminated with signal Killed"),
        (139, "terminated with signal Segmentation fault"),
    ],
)
def test_exits_read_as_mesos_words_them(status: int, text: str) -> None:
    """Including a core dump, whose bit does not matter."""
    assert words.wait_words(status) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5secs"),
        (60, "1mins"),
        (900, "15mins"),
        (2, "2secs"),
        (7 * 86400, "1weeks"),
        (90, "90secs"),
        (0.5, "500ms"),
        (0, "0ns"),
    ],
)
def test_durations_read_as_mesos_words_them(seconds: float, text: str) -> None:
    """A whole number in the largest unit that has one, or one below it."""
    assert words.duration(seconds) == text


def test_argv_commands_are_named_by_their_words() -> None:
    """The executor's name of a command without a shell, shortened."""
    task = m.TaskInfo(
        name="x",
        task_id=m.TaskID(value="x"),
        agent_id=m.AgentID(value="S0"),
        command=m.CommandInfo(shell=False, value="/bin/sleep", arguments=("sleep", "100")),
    )
    name = "Command Executor (Task: x) (Command: [/bin/sleep, ...])"
    assert words.command_executor_name(task) == name


@given(st.text())
def test_a_key_component_has_no_slash_and_comes_back(text: str) -> None:
    """`unescape(escape(x)) == x`."""
    assert "/" not in paths.escape(text)
    assert paths.unescape(paths.escape(text)) == text
