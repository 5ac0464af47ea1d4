"""Several masters, agents and real ZooKeeper servers, as processes that a test kills and starts.

Everything is on loopback. A master's own port is asked by `ask`; `leader` is who leads now.
"""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesos_twisted.local.layout import Layout, prepare
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.testing.daemons import Daemons, any_port
from mesos_twisted.testing.processes import Answer, wait_until
from mesos_twisted.testing.zookeeper import RealEnsemble, ServerTls

HOSTS = ("localhost", "127.0.0.1")


@dataclass
class Failover(Daemons):
    """`ports` are the masters'; `zk` is what `--zk` says."""

    ensemble: RealEnsemble | None = None
    ports: dict[str, int] = field(default_factory=dict)
    zk: str = ""

    @classmethod
    def assemble(
        cls,
        root: Path,
        *,
        masters: int = 3,
        agents: int = 1,
        servers: int = 1,
        tls: bool = False,
        credentials: str = "",
        master: tuple[str, ...] = (),
        agent: tuple[str, ...] = (),
    ) -> Failover:
        """All is started, one master leads, and the agents are registered with it."""
        layout = Layout(root, agents)
        prepare(layout)
        names = [f"master-{number}" for number in range(1, masters + 1)]
        for name in names:
            authority.issue(layout.certs, Role.MASTER, name, HOSTS)
        self = cls(root, subprocess.Popen(["true"], text=True), "")
        self.process.wait()
        identity = None
        if tls:
            issued = authority.issue(layout.certs, Role.ZOOKEEPER, "zookeeper", HOSTS)
            identity = ServerTls(issued.cert, issued.key, self.ca)
        self.ensemble = RealEnsemble.start(root, servers, identity)
        hosts = self.ensemble.hosts
        before = f"{credentials}@" if credentials else ""
        self.zk = f"zk://{before}{hosts}/mesos"
        zk_tls = [f"--zk_tls={str(tls).lower()}"]
        try:
            for name in names:
                self.ports[name] = any_port()
                flags = [f"--port={self.ports[name]}", f"--credentials={layout.credentials}"]
                flags += ["--cluster=local", f"--zk={self.zk}", *zk_tls, *master]
                self._add("master", name, flags)
                self.bring_up(name)
            self.url = f"https://localhost:{self.ports[self.leader()]}"
            for name in layout.agent_names():
                flags = [f"--master=zk://{hosts}/mesos", f"--port={any_port()}", *zk_tls]
                flags += [f"--runtime_dir={root}/work/{name}/run", *agent]
                self._add("agent", name, [*flags, f"--http_credentials={layout.credentials}"])
                self.bring_up(name)
            self.registered(agents)
        except BaseException:
            self.stop()
            raise
        return self

    def bring_up(self, name: str) -> None:
        """Start a daemon with its flags; a master listens when this returns."""
        super().bring_up(name)
        if name in self.ports:
            wait_until(lambda: self._listens(name), f"{name} listens\n{self.logs()}", 60)

    def _listens(self, name: str) -> bool:
        if self.running[name].poll() is not None:
            raise AssertionError(f"{name} ended\n{self.logs()}")
        try:
            return self.ask(name, "/version", identity=None).status > 0
        except OSError:
            return False

    def ask(self, name: str, path: str, **options: Any) -> Answer:
        """What one master answers, redirects not followed."""
        return self.request("GET", path, base=f"https://localhost:{self.ports[name]}", **options)

    def masters(self) -> list[str]:
        """Those that run."""
        return [name for name in self.ports if name in self.running]

    def leading(self) -> list[str]:
        """Those that say they lead."""
        found = []
        for name in self.masters():
            try:
                document = self.ask(name, "/metrics/snapshot").json()
            except OSError:
                continue
            if document.get("master/elected"):
                found.append(name)
        return found

    def leader(self, *, but: str | None = None) -> str:
        """Who leads, once one does that is not `but`; the others are asked through it from then."""

        def one() -> str | None:
            found = [name for name in self.leading() if name != but]
            return found[0] if len(found) == 1 else None

        name: str = wait_until(one, "one master leads", 60)
        self.url = f"https://localhost:{self.ports[name]}"
        return name

    def stop(self) -> None:
        """No process is left, ZooKeeper's neither."""
        for name in list(self.running):
            if name not in self.ports:
                self.end(name, signal.SIGUSR1)
        for name in list(self.running):
            self.end(name, signal.SIGTERM)
        if self.ensemble is not None:
            self.ensemble.stop()
        wait_until(lambda: not self.processes(), f"no process of {self.root} is left", 20)

    def python(self, client: Path, program: str, *arguments: str) -> str:
        """What a program prints, run by the Python of another client's environment."""
        done = subprocess.run(
            [str(client / "bin" / "python"), program, *arguments],
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
