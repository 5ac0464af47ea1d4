"""What `systemctl status` shows of an agent."""

from __future__ import annotations

import pytest

from mesos_twisted.agent.core.state import Phase
from mesos_twisted.agent.net.standing import standing


@pytest.mark.parametrize(
    ("phase", "launcher", "said"),
    [
        (None, False, "Waiting for the task launcher"),
        (None, True, "Recovering what ran before"),
        (Phase.RECOVERING, True, "Recovering what ran before"),
        (Phase.DISCONNECTED, True, "Waiting for a master that leads"),
        (Phase.REGISTERING, True, "Registering with the master that leads"),
        (Phase.RUNNING, True, "Registered with the master at m2"),
        (Phase.RUNNING, False, "Waiting for the task launcher"),
        (Phase.TERMINATING, False, "Ending: tasks are being ended"),
    ],
)
def test_what_it_does_or_waits_for(phase: Phase | None, launcher: bool, said: str) -> None:
    stands = standing(phase, launcher, "m2")
    assert stands.status == said and not stands.stuck
