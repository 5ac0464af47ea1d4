"""The processes of a local cluster: started in order, watched, and ended without a trace.

Each daemon is a process of its own with its log in a file. Agents are ended with SIGUSR1, which
ends their tasks and their launcher too; the master with SIGTERM.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.errors import UnavailableError
from mesos_twisted.local.layout import Layout, free_port
from mesos_twisted.protocol import codec_json
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.leader import LeaderClient

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.1
SETSID = shutil.which("setsid") or "/usr/bin/setsid"


class _Daemon(ProcessProtocol):
    """One child process; its end is told once."""

    def __init__(self, name: str, on_exit: Callable[[str, int], None]) -> None:
        self.name = name
        self.ended: Deferred[None] = Deferred()
        self.transport: Any = None
        self._on_exit = on_exit
        self.alive = True

    def processEnded(self, reason: Failure) -> None:
        self.alive = False
        value = reason.value
        status = 0 if isinstance(value, ProcessDone) else getattr(value, "exitCode", None)
        self.ended.callback(None)
        self._on_exit(self.name, -1 if status is None else status)

    def signal(self, signo: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self.alive and self.transport is not None:
            try:
                # Twisted knows few signals by name; it takes any by number.
                self.transport.signalProcess(int(signo))
            except ProcessExitedAlready:
                return


class LocalCluster:
    """One master and some agents. `on_trouble(sentence)` is called when one ends unasked."""

    def __init__(
        self, reactor: Any, layout: Layout, on_trouble: Callable[[str], None], port: int = 5050
    ) -> None:
        """The master listens on `port` when that is free (0: on any), agents on those after it."""
        self.layout = layout
        self.master_port = free_port(port)
        self._agents_from = port + 1 if port else 0
        self._reactor, self._timers = reactor, Timers(reactor)
        self._on_trouble = on_trouble
        self._daemons: dict[str, _Daemon] = {}
        self._stopping = False
        self.http = HttpClient(reactor, self.contexts("operator"))

    @property
    def master(self) -> str:
        """host:port of the master."""
        return f"localhost:{self.master_port}"

    @property
    def url(self) -> str:
        """The state page's address."""
        return f"https://{self.master}/"

    def contexts(self, name: str) -> ContextSource:
        """TLS for a client with the certificate of that name."""
        return ContextSource(
            CertificateFiles(
                ca_bundle=str(self.layout.ca),
                cert=str(self.layout.cert(name)),
                key=str(self.layout.key(name)),
            )
        )

    def leader(self, name: str) -> LeaderClient:
        """A client of the master with the certificate of that name."""
        return LeaderClient(HttpClient(self._reactor, self.contexts(name)), [self.master])

    async def start(self) -> None:
        """Start all; done when every agent is registered. Raises UnavailableError."""
        self._spawn("master", self._master_arguments())
        await self._until(self._master_answers, "the master", "master")
        port = self._agents_from
        for name in self.layout.agent_names():
            port = free_port(port)
            self._spawn(name, self._agent_arguments(name, port))
            port = port + 1 if self._agents_from else 0
        await self._until(self._agents_registered, "the agents", self.layout.agent_names()[0])

    def _tls(self, name: str) -> list[str]:
        layout = self.layout
        return [
            f"--tls_cert_file={layout.cert(name)}",
            f"--tls_key_file={layout.key(name)}",
            f"--tls_ca_file={layout.ca}",
            "--hostname=localhost",
            "--ip=127.0.0.1",
            "--operators=operator",
        ]

    def _master_arguments(self) -> list[str]:
        return [
            "master",
            f"--port={self.master_port}",
            f"--work_dir={self.layout.work('master')}",
            f"--credentials={self.layout.credentials}",
            "--cluster=local",
            *self._tls("master"),
        ]

    def _agent_arguments(self, name: str, port: int) -> list[str]:
        work = self.layout.work(name)
        return [
            "agent",
            f"--master={self.master}",
            f"--port={port}",
            f"--work_dir={work}",
            f"--runtime_dir={self.layout.runtime(name)}",
            f"--http_credentials={self.layout.credentials}",
            *self._tls(name),
        ]

    def _spawn(self, name: str, arguments: list[str]) -> None:
        # Tasks of other users pass through an agent's directory; nobody through the master's.
        mode = 0o700 if name == "master" else 0o711
        self.layout.work(name).mkdir(mode=mode, exist_ok=True)
        daemon = self._daemons[name] = _Daemon(name, self._exited)
        log = os.open(self.layout.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # The children take no setting meant for another process from this one's environment.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS_")}
        try:
            # In a session of its own: Ctrl-C in a terminal reaches this program only, which then
            # ends the daemons in order.
            program = [SETSID, sys.executable, "-m", "mesos_twisted", *arguments]
            self._reactor.spawnProcess(
                daemon,
                SETSID,
                program,
                env=environment,
                childFDs={0: 0, 1: log, 2: log},
            )
        finally:
            os.close(log)

    def _exited(self, name: str, status: int) -> None:
        if not self._stopping:
            how = f"exit status {status}" if status >= 0 else "killed"
            self._on_trouble(f"{name} ended unasked ({how}); its log is {self.layout.log(name)}")

    async def _until(self, ready: Callable[[], Any], what: str, log: str) -> None:
        waited = 0.0
        while not await ready():
            if not all(daemon.alive for daemon in self._daemons.values()):
                raise UnavailableError(
                    f"{what} did not start; the last lines of the log in {self.layout.logs}:\n"
                    + self._last_lines()
                )
            waited += POLL_S
            if waited > START_TIMEOUT_S:
                raise UnavailableError(
                    f"{what} did not answer within {START_TIMEOUT_S:g} s; "
                    f"the log is {self.layout.log(log)}"
                )
            pause: Deferred[None] = Deferred()
            self._timers.after(POLL_S, pause.callback, None)
            await pause

    def _last_lines(self) -> str:
        for name, daemon in self._daemons.items():
            if not daemon.alive:
                return "\n".join(self.layout.log(name).read_text().splitlines()[-3:])
        return ""

    async def _master_answers(self) -> bool:
        try:
            answer = await self.http.request("GET", f"{self.url}health", timeout_s=5)
        except UnavailableError:
            return False
        return answer.status == 200

    async def _agents_registered(self) -> bool:
        try:
            answer = await self.http.request("GET", f"{self.url}slaves", timeout_s=5)
        except UnavailableError:
            return False
        if answer.status != 200:
            return False
        agents = codec_json.parse(answer.body)["slaves"]
        return sum(bool(agent.get("active")) for agent in agents) >= self.layout.agents

    async def stop(self) -> None:
        """End every process of the cluster, tasks included."""
        self._stopping = True
        agents = [self._daemons[n] for n in self.layout.agent_names() if n in self._daemons]
        await self._end(agents, signal.SIGUSR1)
        await self._end([d for d in self._daemons.values() if d.alive], signal.SIGTERM)
        shutil.rmtree(self.layout.far, ignore_errors=True)
        self._timers.cancel_all()
        await self.http.close()

    async def _end(self, daemons: list[_Daemon], signo: signal.Signals) -> None:
        for daemon in daemons:
            daemon.signal(signo)
        forced = self._timers.after(STOP_TIMEOUT_S, self._force, daemons)
        await DeferredList([daemon.ended for daemon in daemons if daemon.alive])
        forced.cancel()

    def _force(self, daemons: list[_Daemon]) -> None:
        for daemon in daemons:
            daemon.signal(signal.SIGKILL)
