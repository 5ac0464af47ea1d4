"""How long an agent waits: for its launcher, and for executors after a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.net import flag_values
from mesos_twisted.agent.net.leader import FixedMasters
from mesos_twisted.agent.net.service import AgentService
from mesos_twisted.config import load
from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.local.layout import Layout, prepare


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    made = Layout(tmp_path_factory.mktemp("cluster"), 1)
    prepare(made)
    return made


@pytest.fixture
def reactor() -> Iterator[EPollReactor]:
    """A reactor of our own, turned by hand, never run."""
    made = EPollReactor()
    made.startRunning(installSignalHandlers=False)
    yield made
    made.fireSystemEvent("shutdown")
    made.iterate(0)


def config(layout: Layout, directory: Path, *more: str) -> AgentConfig:
    name = next(iter(layout.agent_names()))
    argv = ["--master=localhost:1", "--port=0", f"--work_dir={directory}/work"]
    argv += [f"--runtime_dir={directory}/run", f"--tls_ca_file={layout.ca}", *more]
    argv += [f"--tls_cert_file={layout.cert(name)}", f"--tls_key_file={layout.key(name)}"]
    return load(AgentConfig, [*argv, "--resources=cpus:1;mem:64;disk:64"], {}).config


class Silent:
    """A containerizer whose launcher never answers."""

    def recover(self, known: object) -> Deferred[Any]:
        return Deferred()


def settle(reactor: EPollReactor, coroutine: Any) -> Any:
    got: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(got.append)
    end = time.monotonic() + 30
    while not got:
        assert time.monotonic() < end
        reactor.iterate(0.02)
    return got[0]


def test_an_agent_does_not_wait_for_ever_for_its_launcher(
    layout: Layout, reactor: EPollReactor, tmp_path: Path
) -> None:
    """After --recovery_timeout it leaves with a sentence, and whoever supervises it starts anew."""
    agent = AgentService(
        config(layout, tmp_path, "--recovery_timeout=100ms"),
        reactor,
        time.time,
        lambda code, message: None,
        lambda level, seconds: None,
        FixedMasters(()),
    )
    agent._containerizer = Silent()  # type: ignore[assignment]  # recovery asks nothing else
    failure = settle(reactor, agent.start())
    failure.trap(UnavailableError)
    assert "--recovery_timeout=100ms" in failure.getErrorMessage()
    assert settle(reactor, agent.stop()) is None


def test_executors_cannot_be_waited_for_longer_than_mesos_allows(
    layout: Layout, tmp_path: Path
) -> None:
    """Meanwhile nothing else would come of their tasks."""
    flag_values.judge(config(layout, tmp_path, "--executor_reregistration_timeout=15secs"))
    with pytest.raises(MalformedError, match="more than 15secs"):
        flag_values.judge(config(layout, tmp_path, "--executor_reregistration_timeout=16secs"))
