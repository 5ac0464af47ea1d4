"""Three real masters and real ZooKeeper servers: who leads, who takes over, who says where."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.security.core.secret import Secret
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.testing.daemons import any_port
from mesos_twisted.testing.failover import Failover
from mesos_twisted.testing.processes import wait_until
from mesos_twisted.testing.zookeeper import RealWorld
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.errors import AnswerError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FIND_LEADER = """
import sys
from kazoo.client import KazooClient
from pymesos.detector import MasterDetector

class Agent:
    def onNewMasterDetectedMessage(self, data):
        print(data.decode()); sys.stdout.flush()
        heard.set()
    def onNoMasterDetectedMessage(self):
        print("none"); sys.stdout.flush()

import threading
heard = threading.Event()
detector = MasterDetector(sys.argv[1], Agent())
detector.start()
assert heard.wait(60), "no master was detected"
detector.stop()
"""
FIND_LEADER_TOO = """
import sys, logging, json
from mesoshttp.client import MesosClient
import mesoshttp.client as module

class NoRequests:
    @staticmethod
    def get(url):
        pass

module.requests = NoRequests
client = MesosClient.__new__(MesosClient)
client.logger = logging.getLogger("detect")
hosts, path = sys.argv[1].split("/", 1)
print(client._MesosClient__zk_detect(hosts, path))
"""

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Debian's ZooKeeper is there."""
    made = subprocess.run([TOOLS / "zookeeper.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr


@pytest.fixture
def cluster(request: Any, tmp_path: Path) -> Iterator[Failover]:
    """Three masters, or what the test asks for."""
    running = Failover.assemble(tmp_path, **getattr(request, "param", {}))
    try:
        yield running
    finally:
        running.stop()


def contenders(cluster: Failover, world: RealWorld) -> dict[str, str]:
    """The election's nodes and the masters' ids in them, as ZooKeeper has them now."""
    client = world.client()
    client.start()
    world.wait(client.sync("/mesos"))
    names = world.wait(client.children("/mesos")).children
    found = {}
    for name in names:
        data = world.wait(client.get(f"/mesos/{name}")).data
        found[name] = json.loads(data)["port"]
    world.wait(client.close())
    return found


def test_a_leader_is_followed(cluster: Failover) -> None:
    """kill -9, SIGTERM, ZooKeeper gone: each time the others say the right thing."""
    assert cluster.ensemble is not None
    world = RealWorld(cluster.ensemble)
    try:
        first = cluster.leader()
        standbys = [name for name in cluster.masters() if name != first]
        where = f"//localhost:{cluster.ports[first]}"
        for name in standbys:
            wait_until(
                lambda n=name: cluster.ask(n, "/master/state?x=1").status == 307,
                "a standby knows the leader",
            )
            answer = cluster.ask(name, "/master/state?x=1")
            assert answer.headers["location"] == f"{where}/master/state?x=1"
        assert len(contenders(cluster, world)) == 3
        known = {each["id"] for each in cluster.ask(first, "/slaves").json()["slaves"]}

        # kill -9: nobody tells ZooKeeper, whose session ends by itself.
        cluster.end(first, signal.SIGKILL)
        second = cluster.leader(but=first)
        cluster.registered(1)
        found = {each["id"] for each in cluster.ask(second, "/slaves").json()["slaves"]}
        assert found == known, "the agent is admitted once, by the registry's word"
        (third,) = [name for name in cluster.masters() if name != second]

        # The first comes back as a standby.
        cluster.bring_up(first)
        wait_until(lambda: len(contenders(cluster, world)) == 3, "it contends again")

        # SIGTERM: the node has gone when the process has.
        cluster.end(second, signal.SIGTERM)
        left = contenders(cluster, world)
        assert cluster.ports[second] not in left.values()
        assert cluster.leader(but=second) == third
        cluster.registered(1)

        # Without ZooKeeper nobody leads: the leader ends, the standby answers 503.
        (server,) = cluster.ensemble.servers
        cluster.ensemble.kill(server)
        assert cluster.running[third].wait(60) == 1
        del cluster.running[third]
        wait_until(lambda: cluster.ask(first, "/slaves").status == 503, "nobody leads", 60)
        cluster.ensemble.bring_up(server)
        assert cluster.leader() == first
        cluster.registered(1)
    finally:
        world.close()


def test_the_detectors_of_others_find_the_leader(cluster: Failover) -> None:
    """pymesos's and mesoshttp's own, over kazoo, unmodified."""
    home = Path(subprocess.check_output([TOOLS / "clients.sh", "--where"], text=True).strip())
    made = subprocess.run([TOOLS / "clients.sh", "pymesos", "mesoshttp"], timeout=280)
    assert made.returncode == 0
    assert cluster.ensemble is not None
    (port,) = [cluster.ports[name] for name in cluster.leading()]
    place = f"{cluster.ensemble.hosts}/mesos"

    def run(client: str, program: str) -> str:
        python = home / client / "bin" / "python"
        done = subprocess.run(
            [python, "-c", program, place], capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    said = json.loads(run("pymesos", FIND_LEADER).splitlines()[0])
    assert (said["hostname"], said["port"]) == ("localhost", port)
    assert said["address"] == {"hostname": "localhost", "ip": "127.0.0.1", "port": port}
    # It takes whichever node comes first: any master, which redirects.
    url = run("mesoshttp", FIND_LEADER_TOO)
    assert int(url.rpartition(":")[2]) in cluster.ports.values()


@pytest.mark.parametrize(
    "cluster", [{"masters": 2, "credentials": "mesos:s3cret"}], indirect=True, ids=["digest"]
)
def test_nodes_made_with_credentials_are_the_masters_alone(cluster: Failover) -> None:
    """Anyone reads them, as agents do here; who has the password may change them."""
    assert cluster.ensemble is not None
    world = RealWorld(cluster.ensemble)
    try:
        stranger = world.client()
        stranger.start()
        (name, *_) = world.wait(stranger.children("/mesos")).children
        for attempt in (
            stranger.create("/mesos/json.info_", b"{}", sequential=True),
            stranger.delete(f"/mesos/{name}"),
            stranger.set("/mesos_registry/epoch", b"me"),
            stranger.create("/mesos_registry/agents/00/x"),
        ):
            with pytest.raises(AnswerError) as refused:
                world.wait(attempt)
            assert refused.value.code in (r.Code.NO_AUTH, r.Code.NO_NODE)
            assert refused.value.code == r.Code.NO_AUTH or "agents" in str(refused.value)
        owner = world.client(credentials=Secret(b"mesos:s3cret"))
        owner.start()
        assert world.wait(owner.get("/mesos_registry/epoch")).data
        for log in (cluster.root / "logs").iterdir():
            assert "s3cret" not in log.read_text(errors="replace")
        (leader,) = cluster.leading()
        flags = cluster.ask(leader, "/flags").body
        assert b"s3cret" not in flags and b"zk://" in flags
    finally:
        world.close()


WRITERS = ";".join(f"x509:CN=master master-{number}" for number in (1, 2))


@pytest.mark.parametrize(
    "cluster",
    [{"masters": 2, "tls": True, "master": (f"--zk_acl={WRITERS}",)}],
    indirect=True,
    ids=["tls"],
)
def test_over_tls_certificates_say_who_writes(cluster: Failover) -> None:
    """Each master is known by its own; one that is not listed changes nothing, nor does an agent.

    Without a certificate nobody comes in, and another takes over as ever.
    """
    assert cluster.ensemble is not None
    first = cluster.leader()
    cluster.end(first, signal.SIGKILL)
    second = cluster.leader(but=first)
    cluster.registered(1)
    for name in ("operator", "agent-1"):
        files = CertificateFiles(str(cluster.ca), str(cluster.cert(name)), str(cluster.key(name)))
        world = RealWorld(cluster.ensemble, ContextSource(files))
        client = world.client()
        client.start()
        assert world.wait(client.children("/mesos")).children
        entries = world.wait(client.call(r.GetAcl("/mesos"))).acl
        assert {(each.permissions, each.identity) for each in entries} == {
            (r.READ, "anyone"),
            (r.ALL, "CN=master master-1"),
            (r.ALL, "CN=master master-2"),
        }
        with pytest.raises(AnswerError) as refused:
            world.wait(client.create("/mesos/json.info_", b"{}", sequential=True))
        assert refused.value.code == r.Code.NO_AUTH
        with pytest.raises(AnswerError) as refused:
            world.wait(client.set("/mesos_registry/epoch", b"me"))
        assert refused.value.code == r.Code.NO_AUTH
        world.close()
    # Neither in plaintext nor without a certificate.
    for contexts in (None, ContextSource(CertificateFiles(str(cluster.ca)))):
        world = RealWorld(cluster.ensemble, contexts)
        client = world.client(1.0)
        client.start()
        world.turned.spend(3.0)
        assert client.session_id == 0
        world.close()
    assert cluster.leading() == [second]


SUBSCRIBE = """
import sys
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk.sync import Framework

info = m.FrameworkInfo(user="nobody", name="found by ZooKeeper")
master, ca, cert, key = sys.argv[1:]
with Framework(info, masters=[master], ca=ca, cert=cert, key=key) as framework:
    print(framework.offer(timeout_s=30).hostname)
"""


@pytest.mark.parametrize("cluster", [{"masters": 2}], indirect=True, ids=["two"])
def test_everything_that_takes_a_master_takes_zookeeper(cluster: Failover) -> None:
    """The command line, the SDK and the connector, before and after a leader was killed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MESOS")}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, timeout=60, env=environment
        )
        assert done.returncode == 0, done.stderr + cluster.logs()
        return done.stdout

    def files(name: str, form: str) -> list[str]:
        paths = {"ca": cluster.ca, "cert": cluster.cert(name), "key": cluster.key(name)}
        return [form.format(what, path) for what, path in paths.items()]

    def asks() -> None:
        options = [f"--master={cluster.zk}", f"--cacert={cluster.ca}"]
        options += [f"--cert={cluster.cert('operator')}", f"--key={cluster.key('operator')}"]
        assert "localhost" in run("-m", "mesos_twisted", "agent", "list", *options)
        assert run("-c", SUBSCRIBE, cluster.zk, *files("framework", "{1}")) == "localhost\n"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/slaves")
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["slaves"]) == 1
        connection.close()

    port = any_port()
    flags = [f"--master={cluster.zk}", f"--listen=127.0.0.1:{port}"]
    flags += files("operator", "--tls_{0}_file={1}")
    cluster.flags["connector"] = [sys.executable, "-m", "mesos_twisted", "connect", *flags]
    cluster.bring_up("connector")
    log = cluster.root / "logs" / "connector.log"
    wait_until(lambda: "Serving" in log.read_text(), "the connector serves")
    try:
        asks()
        first = cluster.leader()
        cluster.end(first, signal.SIGKILL)
        cluster.leader(but=first)
        cluster.registered(1)
        asks()
    finally:
        assert cluster.end("connector", signal.SIGTERM) == 0


@pytest.mark.parametrize(
    "cluster", [{"masters": 2, "servers": 3, "agents": 2}], indirect=True, ids=["three-servers"]
)
def test_servers_come_and_go_and_masters_stop_and_wake(cluster: Failover) -> None:
    """A majority of ZooKeeper is enough; a master that slept through its session ends."""
    ensemble = cluster.ensemble
    assert ensemble is not None
    first = cluster.leader()
    gone = ensemble.leader()
    cluster.end("agent-2", signal.SIGUSR1)
    ensemble.kill(gone)
    # The registry forgets the one and admits the other again through the servers that are left.
    cluster.bring_up("agent-2")
    cluster.registered(2)
    assert cluster.leader() == first
    ensemble.bring_up(gone)

    process = cluster.running.pop(first)
    process.send_signal(signal.SIGSTOP)
    try:
        second = cluster.leader()
        cluster.registered(2)
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 1, "it led, and does not any more"
    finally:
        process.kill()
    assert cluster.leading() == [second]
    cluster.registered(2)
