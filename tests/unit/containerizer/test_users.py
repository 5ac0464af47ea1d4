"""Who a task may run as."""

from __future__ import annotations

import os
import pwd

import pytest

from mesos_twisted.containerizer.core.container import Identity
from mesos_twisted.containerizer.users import identify
from mesos_twisted.errors import Problem


def test_no_user_and_unknown_users() -> None:
    """No user is the agent's own; a user nobody knows is a problem that names it."""
    assert identify(None) is None
    problem = identify("no-such-user")
    assert isinstance(problem, Problem) and "'no-such-user'" in problem.sentence


def test_root_resolves_numbers() -> None:
    """Root gets uid, gid and at least the primary group."""
    if os.geteuid() != 0:
        pytest.skip("only root may run tasks as another user")
    found = identify("nobody")
    entry = pwd.getpwnam("nobody")
    assert isinstance(found, Identity)
    assert (found.uid, found.gid) == (entry.pw_uid, entry.pw_gid) and found.gid in found.groups


def test_others_run_as_themselves_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that is not root takes its own name and refuses any other in a sentence."""
    entry = pwd.getpwnam("nobody")
    monkeypatch.setattr(os, "geteuid", lambda: entry.pw_uid)
    assert identify("nobody") is None
    problem = identify("root")
    assert isinstance(problem, Problem) and "run the agent as root" in problem.sentence
