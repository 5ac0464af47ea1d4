"""A master and agents for a benchmark: real processes, mutual TLS, all that is on by default.

They live in a temporary directory; leaving the `with` ends every process and removes it.
"""

from __future__ import annotations

import os
import pstats
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench import processes
from bench.client import Client
from mesos_twisted.errors import UnavailableError
from mesos_twisted.local.layout import CLUSTER, Layout, free_port, prepare

#: Set by --profile: names of daemons to run under cProfile.
PROFILED = "BENCH_PROFILE"
START_S = 60.0
STOP_S = 20.0
#: What most systems give a process: the master must ask for more itself.
USUAL_DESCRIPTORS = 1024


class BenchCluster:
    """One master, and agents with room for many small tasks."""

    def __init__(
        self,
        agents: int = 1,
        resources: str = "cpus:64;mem:65536;disk:65536;ports:[31000-32000]",
        master_flags: tuple[str, ...] = (),
        agent_flags: tuple[str, ...] = (),
        turns: Path | None = None,
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mesos-bench-"))
        self.layout = Layout(self.root, max(1, agents))
        self.agents, self._resources = agents, resources
        self._master_flags, self._agent_flags = master_flags, agent_flags
        #: Where the master leaves the CPU time of its reactor's turns when it ends.
        self._turns = turns
        self.port = free_port(22050)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def master(self) -> str:
        """host:port of the master."""
        return f"localhost:{self.port}"

    def __enter__(self) -> BenchCluster:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print(self.logs(), file=sys.stderr)
        self._end()

    def _start(self) -> None:
        prepare(self.layout)
        self._spawn(
            "master",
            f"--port={self.port}",
            f"--cluster={CLUSTER}",
            f"--credentials={self.layout.credentials}",
            *self._master_flags,
        )
        self._until("the master answers", self._answers)
        for name in self.layout.agent_names()[: self.agents]:
            work = self.layout.work(name)
            self._spawn(
                name,
                f"--master={self.master}",
                f"--port={free_port(22050)}",
                f"--runtime_dir={work}/run",
                f"--http_credentials={self.layout.credentials}",
                f"--resources={self._resources}",
                *self._agent_flags,
            )
        if self.agents:
            self._until("the agents are registered", self._registered)

    def _spawn(self, name: str, *arguments: str) -> None:
        kind = name.partition("-")[0]
        work = self.layout.work(name)
        work.mkdir(mode=0o755, parents=True)
        timing = ("bench.turns", str(self._turns)) if self._turns and name == "master" else ()
        profiling = name in os.environ.get(PROFILED, "").split(",")
        command = [
            sys.executable,
            *(("-m", "cProfile", "-o", str(self._profile(name))) if profiling else ()),
            *(("-m", *timing, "mesos_twisted") if timing else ("-m", "mesos_twisted")),
            kind,
            f"--work_dir={work}",
            f"--tls_cert_file={self.layout.cert(name)}",
            f"--tls_key_file={self.layout.key(name)}",
            f"--tls_ca_file={self.layout.ca}",
            "--hostname=localhost",
            "--ip=127.0.0.1",
            "--operators=operator",
            *arguments,
        ]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS_")}
        with open(self.layout.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, preexec_fn=_usual_limits
            )

    def _profile(self, name: str) -> Path:
        return self.root / f"{name}.profile"

    def _until(self, what: str, ready: object) -> None:
        assert callable(ready)
        deadline = time.monotonic() + START_S
        while not ready():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise UnavailableError(f"{name} ended: {self.logs()}")
            if time.monotonic() > deadline:
                raise UnavailableError(f"not within {START_S:g} s: {what}; {self.logs()}")
            time.sleep(0.05)  # polls real processes, with a deadline

    def client(self, identity: str = "operator") -> Client:
        """A connection to the master with that certificate."""
        return Client("localhost", self.port, self.layout, identity)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return client.request("GET", "/readyz").status == 200
        except OSError:
            return False

    def _registered(self) -> bool:
        with self.client() as client:
            answer = client.request("GET", "/slaves")
            if answer.status != 200:  # it leads only once the registry is read
                return False
            agents = answer.json()["slaves"]
        return sum(bool(agent["active"]) for agent in agents) >= self.agents

    def pid(self, name: str) -> int:
        """The pid of `master` or `agent-1`."""
        return self.processes[name].pid

    def launcher(self, name: str = "agent-1") -> int:
        """The pid of the agent's launcher (it runs whether or not the agent does)."""
        mark = str(self.layout.work(name))
        for pid in processes.naming(mark):
            words = processes.command_line(pid)
            if words and ("zygote" in words[0] or any("zygote.py" in word for word in words)):
                return pid
        raise UnavailableError(f"the launcher of {name} is not running")

    def logs(self, lines: int = 15) -> str:
        """The last lines of every daemon."""
        out = []
        for name in self.processes:
            tail = self.layout.log(name).read_text(errors="replace").splitlines()[-lines:]
            out.append("\n".join([f"--- {name}", *tail]))
        return "\n".join(out)

    def _end(self) -> None:
        """Agents end with their tasks and launcher (SIGUSR1), then the master."""
        for chosen, signo in (("agent", signal.SIGUSR1), ("master", signal.SIGTERM)):
            ending = [p for n, p in self.processes.items() if n.startswith(chosen)]
            for process in ending:
                if process.poll() is None:
                    process.send_signal(signo)
            for process in ending:
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for pid in processes.naming(str(self.root)):
            # A launcher or a task that its agent left: it carries our directory in its arguments.
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for name in self.processes:
            if self._profile(name).exists():
                print(f"--- {name}", flush=True)
                told = pstats.Stats(str(self._profile(name)))
                told.sort_stats("tottime").print_stats(45)
                told.sort_stats("cumtime").print_stats(45)
        shutil.rmtree(self.root, ignore_errors=True)


def _usual_limits() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(USUAL_DESCRIPTORS, hard), hard))
