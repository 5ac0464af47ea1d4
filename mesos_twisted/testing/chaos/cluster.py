"""The processes of the cluster, each on a node of its own, and the supervisor over them.

A member that ends comes back after a moment, as systemd would see to; why it ended is remembered.
"""

from __future__ import annotations

import json
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
from mesos_twisted.testing.chaos.health import End
from mesos_twisted.testing.zookeeper import RealEnsemble, ServerTls

MASTER_PORT, AGENT_PORT = 5050, 5051
SESSION_S: Final = 3.0
POLL_S = 0.05
END_S = 40.0
_ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}


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
    #: When its process was started and told to end, and what its log had then.
    since: float = 0.0
    told_at: float = 0.0
    log_from: int = 0
    starts: int = 0

    def start(self) -> None:
        """Another process of it."""
        self.by = None
        self.since, self.starts = time.time(), self.starts + 1
        self.log_from = self.log.stat().st_size if self.log.exists() else 0
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

    def send(self, signo: signal.Signals) -> bool:
        """A signal to its process; whether there was one."""
        process = self.process
        if process is None or process.poll() is not None:
            return False
        if signo not in (signal.SIGSTOP, signal.SIGCONT):
            if self.by is None:
                self.told_at = time.time()
            self.by = signo
        process.send_signal(signo)
        return True

    def last_error(self) -> str:
        """What its present process logged as an error last."""
        with open(self.log, "rb") as log:
            log.seek(self.log_from)
            lines = [line for line in log if b'"level":"error"' in line]
        try:
            return str(json.loads(lines[-1])["message"]) if lines else ""
        except (ValueError, KeyError):
            return lines[-1].decode(errors="replace")


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
    #: Sentences on those that did not end when they were told to.
    overdue: list[str] = field(default_factory=list)
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
            # Sandboxes of an hour are more than the disk holds.
            flags += ["--no-switch_user", "--gc_delay=2mins", "--disk_watch_interval=10secs"]
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
            self._ended(member, status)
            member.due = now + self.chance.uniform(0.3, 2.0)
        elif member.by is signal.SIGTERM and now - member.told_at > END_S:
            self.overdue.append(f"{member.name} did not end within {END_S:.0f} s of SIGTERM")
            member.send(signal.SIGKILL)

    def _ended(self, member: Member, status: int) -> None:
        now = time.time()
        said = member.last_error()
        end = End(member.name, now, status, member.by, said, now - member.since)
        self.ends.append(end)
        self.on_end(end)
        member.process = None

    def end(self, kind: str, signo: signal.Signals) -> None:
        """Every process of a kind has ended and stays so; the supervisor looks on no more."""
        with self._lock:
            self.supervised = False
        chosen = [member for member in self.members.values() if member.kind == kind]
        for member in chosen:
            member.send(signo)
        for member in chosen:
            if member.process is not None:
                try:
                    self._ended(member, member.process.wait(END_S))
                except subprocess.TimeoutExpired:
                    name = signal.Signals(signo).name
                    self.overdue.append(f"{member.name} did not end within {END_S:.0f} s of {name}")
                    member.process.kill()
                    member.process.wait()
                    member.process = None
