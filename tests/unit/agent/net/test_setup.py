"""What an agent needs on disk before it can start."""

import errno
import os
from pathlib import Path

import pytest

from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.net import setup
from mesos_twisted.errors import UnavailableError


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be flushed to disk."""

    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)


def config(work_dir: Path) -> AgentConfig:
    (work_dir / "meta").mkdir()
    return AgentConfig(master="m:5050", work_dir=str(work_dir))


def test_a_key_that_is_there_is_not_made_again(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """An agent on a full disk can read the one it has."""
    settings = config(tmp_path)
    setup._tokens(settings, str(tmp_path))
    (key,) = (tmp_path / "meta").iterdir()
    content = key.read_bytes()
    request.getfixturevalue("full")
    setup._tokens(settings, str(tmp_path))
    assert key.read_bytes() == content


@pytest.mark.usefixtures("full")
def test_a_key_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be made: no space left on device"):
        setup._tokens(config(tmp_path), str(tmp_path))
    assert not list((tmp_path / "meta").iterdir())
