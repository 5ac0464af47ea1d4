"""The registry as an operator handles it: seen, saved, put back, and missed when it is gone."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.testing.commands import CommandLine, Done
from mesos_twisted.testing.daemons import Daemons
from mesos_twisted.testing.failover import Failover
from mesos_twisted.testing.processes import wait_until

TOOLS = Path(__file__).resolve().parents[2] / "tools"
pytestmark = pytest.mark.system


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    running = Daemons.begin(tmp_path)
    yield running
    running.stop()


class Operator:
    """Somebody on the master's host."""

    def __init__(self, daemons: Daemons) -> None:
        self.path = daemons.root / "work" / "master" / "registry.sqlite"
        self._tool = CommandLine(daemons)

    def __call__(self, verb: str, *words: str) -> Done:
        return self._tool("registry", verb, "--registry", str(self.path), *words)

    def seen(self) -> dict[str, object]:
        """What `show` shows."""
        document = self("show", "--output", "json").json()
        assert isinstance(document, dict)
        return document


def test_a_backup_is_put_back_and_agents_follow_it(daemons: Daemons, tmp_path: Path) -> None:
    """Taken while the master runs, restored when none does; agents take the older state."""
    operator = Operator(daemons)
    file = str(tmp_path / "backup")
    first = operator.seen()
    assert (first["epoch"], len(first["agents"])) == (1, 1)  # type: ignore[arg-type]  # a list
    assert operator("backup", file).status == 0
    assert Path(file).stat().st_mode & 0o777 == 0o600
    refused = operator("restore", "--yes", file)
    assert refused.status == 5 and "a master runs on it" in refused.err
    # Another leader of the same registry; the agent follows it.
    daemons.end("master", signal.SIGKILL)
    daemons.bring_up("master")
    daemons.registered(1)
    second = operator.seen()
    assert (second["epoch"], second["registry_id"]) == (2, first["registry_id"])
    daemons.end("master", signal.SIGKILL)
    # The file alone, as somebody might copy it: the agent has seen more than it knows.
    restored = operator("restore", "--yes", file)
    assert restored.status == 0 and "start the master" in restored.out
    assert operator.seen()["registry_id"] == ""
    daemons.bring_up("master")
    daemons.registered(1)
    third = operator.seen()
    assert third["epoch"] == 1 and third["registry_id"] != first["registry_id"]
    assert third["agents"] == first["agents"]


def test_an_old_copy_put_back_by_hand_is_refused_by_agents(
    daemons: Daemons, tmp_path: Path
) -> None:
    """They say why and what to do; restore makes it good."""
    operator = Operator(daemons)
    daemons.end("master", signal.SIGTERM)
    old = operator.path.read_bytes()
    daemons.bring_up("master")
    daemons.registered(1)
    daemons.end("master", signal.SIGTERM)
    operator.path.write_bytes(old)
    daemons.bring_up("master")
    wait_until(lambda: "Refusing the master" in daemons.logs(200), "the agent refuses it")
    daemons.end("master", signal.SIGTERM)
    file = str(tmp_path / "copy")
    assert operator("backup", file).status == 0
    assert operator("restore", "--yes", file).status == 0
    daemons.bring_up("master")
    daemons.registered(1)


def test_a_missing_registry_stops_the_master(daemons: Daemons) -> None:
    """It does not begin with an empty one by mistake."""
    operator = Operator(daemons)
    daemons.end("master", signal.SIGTERM)
    for side in operator.path.parent.glob("registry.sqlite*"):
        if side.suffix != ".made":
            side.rename(side.with_name("kept-" + side.name))
    done = subprocess.run(daemons.flags["master"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 75 and "says that there was one" in done.stderr
    assert "mesos-twisted registry restore" in done.stderr
    for side in operator.path.parent.glob("kept-*"):
        side.rename(side.with_name(side.name.removeprefix("kept-")))
    daemons.bring_up("master")
    daemons.registered(1)


@pytest.mark.timeout(300)
def test_a_registry_in_zookeeper_is_handled_alike(tmp_path: Path) -> None:
    """Shown and saved while a master leads, put back when none contends, and followed."""
    made = subprocess.run([TOOLS / "zookeeper.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr
    cluster = Failover.assemble(tmp_path, masters=2, credentials="mesos:secret")
    try:
        tool = CommandLine(cluster)

        def registry(verb: str, *words: str) -> Done:
            return tool("registry", verb, "--registry", cluster.zk, *words)

        def weigh(weight: float) -> None:
            infos = [{"role": "a", "weight": weight}]
            cluster.call({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": infos}})

        file = str(tmp_path / "backup")
        weigh(2.0)
        first = registry("show", "--output", "json").json()
        assert (first["weights"], len(first["agents"])) == ({"a": 2.0}, 1)
        assert registry("backup", file).status == 0
        weigh(3.0)
        refused = registry("restore", "--yes", file)
        assert refused.status == 5 and "stop them all first" in refused.err
        for name in cluster.masters():
            cluster.end(name, signal.SIGTERM)
        restored = registry("restore", "--yes", file)
        assert (restored.status, restored.err) == (0, "")
        for name in cluster.ports:
            cluster.bring_up(name)
        cluster.leader()
        cluster.registered(1)
        last = registry("show", "--output", "json").json()
        assert (last["weights"], last["agents"]) == ({"a": 2.0}, first["agents"])
        assert last["registry_id"] != first["registry_id"]
    finally:
        cluster.stop()
