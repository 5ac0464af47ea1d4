"""A cluster whose daemons a test kills and starts again, each by itself.

The same directory, certificates and flags as `mesos-twisted local`, but nobody watches: a daemon
that ends stays ended until `bring_up` is called again with the same flags.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mesos_twisted.local.layout import Layout, free_port, prepare
from mesos_twisted.testing.processes import RunningCluster, wait_until

END_S = 30.0


def any_port() -> int:
    """A free port that no other test looking at the same moment is likely to choose."""
    return free_port(0)


@dataclass
class Daemons(RunningCluster):
    """`flags` are each daemon's command line; `running` its process."""

    flags: dict[str, list[str]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        root: Path,
        *,
        agents: int = 1,
        master: tuple[str, ...] = (),
        agent: tuple[str, ...] = (),
    ) -> Daemons:
        """Certificates made, master and agents started, all agents registered."""
        layout = Layout(root, agents)
        prepare(layout)
        port = any_port()
        self = cls(root, subprocess.Popen(["true"], text=True), f"https://localhost:{port}")
        self.process.wait()
        flags = [f"--port={port}", f"--credentials={layout.credentials}", "--cluster=local"]
        self._add("master", "master", [*flags, *master])
        self.bring_up("master")
        for name in layout.agent_names():
            flags = [f"--master={self.master}", f"--port={any_port()}"]
            flags += [f"--runtime_dir={root}/work/{name}/run", *agent]
            self._add("agent", name, [*flags, f"--http_credentials={layout.credentials}"])
            self.bring_up(name)
        self.registered(agents)
        return self

    def _add(self, kind: str, name: str, flags: list[str]) -> None:
        (self.root / "work" / name).mkdir(parents=True, exist_ok=True)
        tls = {"cert": self.cert(name), "key": self.key(name), "ca": self.ca}
        common = [f"--tls_{what}_file={path}" for what, path in tls.items()]
        common += ["--hostname=localhost", "--ip=127.0.0.1", "--operators=operator"]
        common.append(f"--work_dir={self.root}/work/{name}")
        self.flags[name] = [sys.executable, "-m", "mesos_twisted", kind, *flags, *common]

    def bring_up(self, name: str) -> None:
        """Start a daemon with its flags; the master answers when this returns."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
        with open(self.root / "logs" / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                self.flags[name], stdout=log, stderr=log, env=environment, start_new_session=True
            )
        if name == "master":
            wait_until(lambda: self._answers(name), f"the master answers\n{self.logs()}")

    def _answers(self, name: str) -> bool:
        if self.running[name].poll() is not None:
            raise AssertionError(f"{name} ended\n{self.logs()}")
        try:
            return self.request("GET", "/readyz", identity=None).status == 200
        except OSError:
            return False

    def end(self, name: str, signo: signal.Signals) -> int:
        """Send a signal to a daemon and wait for its end; its exit status."""
        process = self.running.pop(name)
        process.send_signal(signo)
        return process.wait(END_S)

    def registered(self, count: int) -> None:
        """Wait until so many agents are active."""

        def enough() -> bool:
            agents = self.request("GET", "/slaves").json()["slaves"]
            return sum(bool(agent["active"]) for agent in agents) >= count

        wait_until(enough, f"{count} agents are registered", 30)

    def stop(self) -> None:
        """Every process of the cluster ends, tasks and launchers too."""
        for name in list(self.running):
            if name != "master":
                self.end(name, signal.SIGUSR1)
        for name in list(self.running):
            self.end(name, signal.SIGTERM)
        wait_until(lambda: not self.processes(), f"no process of {self.root} is left", 20)
