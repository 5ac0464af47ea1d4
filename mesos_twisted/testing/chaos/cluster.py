"""The processes of the cluster, each on a node of its own, and the supervisor over them.

A member that ends comes back after a moment, as systemd would see to; why it ended is remembered.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from mesos_twisted.local.layout import CLUSTER, Layout, prepare
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.testing.chaos.disks import Disk
from mesos_twisted.testing.chaos.enclosure import Network, Node
from mesos_twisted.testing.zookeeper import RealEnsemble, ServerTls

MASTER_PORT, AGENT_PORT = 5050, 5051
SESSION_S: Final = 3.0
POLL_S = 0.05
END_S = 40.0
_ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}


@dataclass(frozen=True, slots=True)
class End:
    """One end of a process: `by` is the signal that the run sent, None when it ended by itself."""

    member: str
    at: float
    status: int
    by: signal.Signals | None


@dataclass
class Member:
    """One process and its successors."""

    name: str
    kind: str
    node: Node
    command: list[str]
    log: Path
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    by: signal.Signals | None = None
    #: When the supervisor starts it again.
    due: float = 0.0

    def start(self) -> None:
        """Another process of it."""
        self.by = None
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.node.before, *self.command],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT,
                start_new_session=True,
            )

    def send(self, signo: signal.Signals) -> None:
        """A signal to its process, if there is one."""
        if self.process is not None and self.process.poll() is None:
            if signo not in (signal.SIGSTOP, signal.SIGCONT):
                self.by = signo
            self.process.send_signal(signo)


@dataclass
class Cluster:
    """All of it below `root`. `members` are in the order in which they start."""

    root: Path
    network: Network
    chance: Random
    ensemble: RealEnsemble
    members: dict[str, Member] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    ends: list[End] = field(default_factory=list)
    on_end: Callable[[End], None] = lambda _: None
    supervised: bool = True

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    @classmethod
    def make(cls, root: Path, seed: int, *, agents: int = 3, zk_tls: bool = False) -> Cluster:
        """Certificates, disks and nodes of three ZooKeeper servers, three masters, frameworks."""
        layout, network = Layout(root, 0), Network()
        prepare(layout)
        (root / "truth").mkdir()
        nodes = [network.add(f"zookeeper-{n}") for n in (1, 2, 3)]
        tls = None
        if zk_tls:
            hosts = [node.address for node in nodes]
            issued = authority.issue(layout.certs, Role.ZOOKEEPER, "zookeeper", hosts)
            tls = ServerTls(issued.cert, issued.key, layout.ca)
        ensemble = RealEnsemble.configure(root, [node.address for node in nodes], tls)
        self = cls(root, network, Random(f"restarts {seed}"), ensemble)
        for node, server in zip(nodes, ensemble.servers, strict=True):
            log, command = server.directory / "log", ensemble.command()
            member = Member(node.name, "zookeeper", node, command, log, server.directory)
            self.members[node.name] = member
        zk = f"zk://{ensemble.hosts}/mesos"
        common = [f"--zk_session_timeout={SESSION_S:g}secs", f"--zk_tls={str(zk_tls).lower()}"]
        for number in (1, 2, 3):
            flags = [f"--zk={zk}", f"--port={MASTER_PORT}", f"--cluster={CLUSTER}", *common]
            flags += ["--agent_ping_timeout=2secs", "--max_agent_ping_timeouts=3"]
            self._daemon(layout, Role.MASTER, f"master-{number}", flags)
        for number in range(1, agents + 1):
            name = f"agent-{number}"
            self.disks[name] = Disk(layout.work(name))
            flags = [f"--master={zk}", f"--port={AGENT_PORT}", *common]
            flags += ["--resources=cpus:4;mem:1024;disk:32", f"--runtime_dir={root}/run/{name}"]
            flags.append("--no-switch_user")
            self._daemon(layout, Role.AGENT, name, flags)
        for number in (1, 2):
            name = f"framework-{number}"
            command = [sys.executable, "-m", "mesos_twisted.testing.chaos.main"]
            command += [f"--name={name}", f"--dir={root}", f"--master={zk}"]
            command += [f"--certs={layout.certs}", *(("--zk_tls",) if zk_tls else ())]
            node = self.network.add(name)
            log = layout.log(name)
            self.members[name] = Member(name, "framework", node, command, log, root)
        return self

    def _daemon(self, layout: Layout, role: Role, name: str, flags: list[str]) -> None:
        node = self.network.add(name)
        authority.issue(layout.certs, role, name, (node.address,))
        kind = name.partition("-")[0]
        work = layout.work(name)
        work.mkdir(parents=True, exist_ok=True)
        (self.root / "run" / name).mkdir(mode=0o711, parents=True)
        command = [sys.executable, "-m", "mesos_twisted", kind, *flags]
        tls = {"cert": layout.cert(name), "key": layout.key(name), "ca": layout.ca}
        command += [f"--tls_{what}_file={path}" for what, path in tls.items()]
        command += [f"--hostname={node.address}", f"--ip={node.address}", f"--work_dir={work}"]
        command += ["--operators=operator"]
        self.members[name] = Member(name, kind, node, command, layout.log(name), self.root)

    def names(self, kind: str) -> list[str]:
        """The members of a kind."""
        return [name for name, member in self.members.items() if member.kind == kind]

    def start(self) -> None:
        """ZooKeeper serves, and everything else is started."""
        for name in self.names("zookeeper"):
            self.members[name].start()
        for name, server in zip(self.names("zookeeper"), self.ensemble.servers, strict=True):
            server.process = self.members[name].process
        self.ensemble.serves()
        for member in self.members.values():
            if member.process is None:
                member.start()
        self._thread.start()

    def _supervise(self) -> None:
        tick = threading.Event()
        while not tick.wait(POLL_S):
            with self._lock:
                if not self.supervised:
                    return
                now = time.time()
                for member in self.members.values():
                    self._look(member, now)

    def _look(self, member: Member, now: float) -> None:
        if member.process is None:
            if now >= member.due:
                member.start()
        elif (status := member.process.poll()) is not None:
            end = End(member.name, now, status, member.by)
            self.ends.append(end)
            self.on_end(end)
            member.process = None
            member.due = now + self.chance.uniform(0.3, 2.0)

    def end(self, kind: str, signo: signal.Signals) -> None:
        """Every process of a kind has ended and stays so; the supervisor looks on no more."""
        with self._lock:
            self.supervised = False
        chosen = [member for member in self.members.values() if member.kind == kind]
        for member in chosen:
            member.send(signo)
        for member in chosen:
            if member.process is not None:
                status = member.process.wait(END_S)
                self.ends.append(End(member.name, time.time(), status, member.by))
                member.process = None
