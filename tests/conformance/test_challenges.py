"""Who must say who they are, and in which realm; what is answered to everybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesos_twisted.testing.processes import RunningCluster

pytestmark = pytest.mark.system

READING = {
    "master": (
        "state state-summary slaves frameworks tasks roles weights quota flags metrics/snapshot "
        "maintenance/schedule maintenance/status files/debug master/state"
    ),
    "agent": (
        "state flags containers monitor/statistics metrics/snapshot files/debug slave(1)/state"
    ),
}
OPEN = {"master": "health version redirect", "agent": "health version"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A master and an agent that ask everybody who they are, as they do by default."""
    running = RunningCluster.start(tmp_path_factory.mktemp("asking"), agents=1)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def bases(cluster: RunningCluster) -> dict[str, str]:
    """Where each daemon answers."""
    return {"master": cluster.url, "agent": cluster.agent_urls()[0]}


@pytest.mark.parametrize("daemon", READING)
def test_pages_are_in_the_readonly_realm(
    cluster: RunningCluster, bases: dict[str, str], daemon: str
) -> None:
    """401 with Mesos's realm and a sentence (Mesos says `401 Unauthorized.`); 200 with proof."""
    for page in READING[daemon].split():
        answer = cluster.request("GET", f"/{page}", identity=None, base=bases[daemon])
        assert answer.status == 401, (page, answer)
        realm = f'realm="mesos-{daemon}-readonly"'
        assert answer.headers["www-authenticate"] in (f"Basic {realm}", f"Bearer {realm}")
        assert answer.body and answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert cluster.request("GET", f"/{page}", base=bases[daemon]).status == 200, page


@pytest.mark.parametrize(
    ("daemon", "path", "realm"),
    [
        ("master", "/api/v1", "mesos-master-readwrite"),
        ("master", "/api/v1/scheduler", "mesos-master-scheduler"),
        ("master", "/teardown", "mesos-master-readwrite"),
        ("agent", "/api/v1", "mesos-agent-readwrite"),
    ],
)
def test_calls_are_in_their_realms(
    cluster: RunningCluster, bases: dict[str, str], daemon: str, path: str, realm: str
) -> None:
    """The same for what changes things."""
    answer = cluster.request("POST", path, b"{}", identity=None, base=bases[daemon])
    assert answer.status == 401
    assert f'realm="{realm}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("daemon", OPEN)
def test_some_pages_are_for_everybody(
    cluster: RunningCluster, bases: dict[str, str], daemon: str
) -> None:
    """Load balancers and clients that look for the leader prove nothing."""
    for page in OPEN[daemon].split():
        answer = cluster.request("GET", f"/{page}", identity=None, base=bases[daemon])
        assert answer.status in (200, 307), (page, answer)
