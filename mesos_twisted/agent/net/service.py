"""Builds an agent and wires it together; starts and stops it.

    rows -> recovery -> core -> driver -> ports: link, containers, checks, executors, disk
    TLS port: operator pages and executor API; loopback port: executor API

Stopping leaves every task running: the launcher keeps them, and the next start finds them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from mesos_twisted import MESOS_VERSION
from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.core.decide import decide
from mesos_twisted.agent.core.environment import TOKEN_MARKER
from mesos_twisted.agent.core.events import Recovered, ShutdownAsked
from mesos_twisted.agent.core.recovery import refusal
from mesos_twisted.agent.core.state import AgentState, new_state
from mesos_twisted.agent.net import flag_values, recovery, setup
from mesos_twisted.agent.net.agent_metrics import AgentGauges
from mesos_twisted.agent.net.checkpoint import CheckpointStore
from mesos_twisted.agent.net.checks import CheckRunner
from mesos_twisted.agent.net.checks_http import Probes
from mesos_twisted.agent.net.containers import AgentContainers
from mesos_twisted.agent.net.driver import AgentDriver
from mesos_twisted.agent.net.endpoint import HOST, ExecutorEndpoint, UnixServer
from mesos_twisted.agent.net.executor_api import PATH as EXECUTOR_PATH
from mesos_twisted.agent.net.executor_api import ExecutorApi
from mesos_twisted.agent.net.executor_auth import ExecutorAuth
from mesos_twisted.agent.net.fetcher import Fetcher
from mesos_twisted.agent.net.fetcher_cache import FetchCache
from mesos_twisted.agent.net.housekeeping import Housekeeping
from mesos_twisted.agent.net.leader import MasterSource
from mesos_twisted.agent.net.master_link import MasterLink
from mesos_twisted.agent.net.operator_api import AgentPages, Guard, canonical
from mesos_twisted.agent.net.operator_v1 import OperatorCalls
from mesos_twisted.agent.net.rotation import Limits
from mesos_twisted.agent.net.sandbox_paths import SandboxPaths
from mesos_twisted.agent.net.standing import standing
from mesos_twisted.agent.net.usage_cache import UsageCache
from mesos_twisted.agent.views.facts import Facts
from mesos_twisted.build_stamp import build_stamp
from mesos_twisted.clock import Timers
from mesos_twisted.config import document
from mesos_twisted.containerizer.build import posix_containerizer
from mesos_twisted.errors import MalformedError, MesosError, Problem, UnavailableError
from mesos_twisted.files.http import FilesApi
from mesos_twisted.files.store import FileStore, Root
from mesos_twisted.metrics import names, prometheus
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.metrics.system import host_gauges
from mesos_twisted.protocol.ids import ConnectionId, ContainerId
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import NOTHING
from mesos_twisted.systemd import Standing
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.http1_server import HttpServer
from mesos_twisted.transport.listen import Listener, listen_tls, stop_gracefully
from mesos_twisted.transport.messages import HttpLimits, Request, text_response
from mesos_twisted.transport.tls_factory import HTTP, TlsLimits, TLSServerFactory
from mesos_twisted.units import format_duration

_EXECUTOR_BODY = 16 << 20
_STOP_S = 5.0
ServerT = TypeVar("ServerT", bound=HttpServer)


class AgentService:
    """One agent. `ended(exit_code, message)` is called when it must leave of itself."""

    log = Logger()

    def __init__(
        self,
        config: AgentConfig,
        reactor: Any,
        now: Callable[[], float],
        ended: Callable[[int, str], None],
        set_level: Callable[[int, float], None],
        masters: MasterSource | None = None,
    ) -> None:
        """Raises MesosError for what makes a start impossible; nothing is listened to yet."""
        self._config, self._reactor, self._now = config, reactor, now
        self._work_dir = setup.prepare_work_dir(config)
        self._meta = os.path.join(self._work_dir, "meta")
        self.trust = setup.trust(config, self._work_dir, now)
        self._timers = Timers(reactor)
        self._batch = FlushBatch(reactor)
        self._connections = itertools.count(1)
        self._ended = ended
        self._set_level = set_level
        self._masters = masters or setup.masters(config, reactor, self.trust.contexts, _jitter)
        built = posix_containerizer(
            reactor,
            reactor,
            reactor,
            reactor.getThreadPool(),
            self._timers,
            # The launcher starts elsewhere; a relative path would lead it astray.
            Path(os.path.abspath(config.runtime_dir)),
            isolation=config.isolation,
            launcher_dir=None if config.launcher_dir is None else Path(config.launcher_dir),
            start=config.launcher_start == "own",
            enforce_disk_quota=config.enforce_container_disk_quota,
            disk_interval_s=config.container_disk_watch_interval,
        )
        if isinstance(built, Problem):
            raise MalformedError(built.sentence)
        self._containerizer, self._launcher = built
        self.metrics = Metrics(names.AGENT_COUNTERS)
        self._store: CheckpointStore | None = None
        self._endpoint = ExecutorEndpoint()
        self._servers: list[HttpServer] = []
        self._listeners: list[Listener] = []
        self._pages: AgentPages | None = None
        #: The agent ends for good: its launcher has nothing to survive for.
        self._leaving = False

    @property
    def port(self) -> int:
        """The TLS port listened on."""
        return self._listeners[0].port_number if self._listeners else 0

    def standing(self) -> Standing:
        """What this agent does or waits for."""
        state: AgentState | None = getattr(self, "state", None)
        phase, master = (None, "") if state is None else (state.phase, state.master_hostname)
        return standing(phase, self._launcher.connected, master)

    async def start(self) -> None:
        """Recover, listen, look for the master. Raises MesosError when that is impossible."""
        began = self._now()
        strict = self._config.strict and self._config.recover != "cleanup"
        self._store = CheckpointStore(self._meta, strict=strict)
        records = self._store.rows()
        self._listen()
        loopback = self._server(self._endpoint.handle, HttpServer)
        self._endpoint.listen(self._reactor, loopback, self._config.executor_port, self._meta)
        endpoint = f"{HOST}:{self._endpoint.port}"
        domain_socket = flag_values.domain_socket(self._config)
        if domain_socket is not None:
            unix = self._server(self._endpoint.handle, UnixServer)
            self._endpoint.listen_unix(self._reactor, unix, domain_socket)
        policy = setup.policy(self._config, self._work_dir, self.port, endpoint)
        self.state = new_state(policy, os.urandom(32))
        self.driver = AgentDriver(self.state, decide, self._timers, self._now)
        self._build_ports(self._store)
        self._pages = self._build_pages()
        self._endpoint.serve(self._executors)
        event = await self._recover(records, began)
        del records
        self.driver.handle(event)
        self.driver.let_go(event)
        if self.driver.stopped:
            return
        for found in event.containers:
            container = self.state.containers.get(found.container_id)
            if found.running and container is not None:
                self._containers.adopt(found.container_id)
                self._house.watch(found.container_id, container.directory, {})
        self._gauges.recovery_s = self._now() - began
        self._house.start()
        self._link.start()

    async def _recover(self, records: dict[str, bytes], began: float) -> Recovered:
        """What is left of before. Raises UnavailableError without a launcher, or one that does not
        answer in time."""
        assert self._store is not None
        found = Deferred.fromCoroutine(
            recovery.recover(
                records,
                self._containerizer,
                self._work_dir,
                began,
                errors=tuple(self._store.errors),
                refusal=lambda event: refusal(self.state, event),
            )
        )
        limit = self._timers.after(self._config.recovery_timeout, found.cancel)
        try:
            return await found
        except CancelledError:
            raise UnavailableError(
                "The launcher did not tell of the containers within --recovery_timeout="
                f"{format_duration(self._config.recovery_timeout)}; start the agent again. Tasks "
                "go on; executors that wait for the agent end themselves after that time."
            ) from None
        finally:
            limit.cancel()

    def _build_ports(self, store: CheckpointStore) -> None:
        config, handle, now, count = self._config, self.driver.handle, self._now, self.metrics.add
        cache_dir = config.fetcher_cache_dir or os.path.join(self._work_dir, "fetch")
        cache = FetchCache(os.path.realpath(cache_dir), config.fetcher_cache_size)
        fetcher = Fetcher(self._reactor, self._timers, cache, config.fetcher_stall_timeout, count)
        try:
            fetcher.start()
        except OSError as error:
            raise UnavailableError(
                f"The fetcher cache {cache.directory} cannot be used: {error.strerror}; "
                "set --fetcher_cache_dir"
            ) from None
        self._house = Housekeeping(
            self._work_dir,
            self._timers,
            self._elsewhere,
            Limits(config.container_logger_max_size, config.container_logger_max_files),
            handle=handle,
            now=now,
            count=count,
            disk_interval_s=config.disk_watch_interval,
        )
        self._containers = AgentContainers(
            self._work_dir,
            self._containerizer,
            fetcher,
            self._timers,
            handle=self.driver.soon,
            now=now,
            token=self._token,
            spare=self._house.spare,
            sandbox_opened=self._house.watch,
            sandbox_closed=self._house.unwatch,
        )
        probes = Probes(self._reactor, self._timers)
        self._checks = CheckRunner(
            self._work_dir, self._containerizer, probes, self._timers, handle=handle, now=now
        )
        auth = ExecutorAuth(self.state, self.trust.executors, config.authenticate_http_executors)
        self._executors = ExecutorApi(
            self.state, auth, self._timers, handle=handle, now=now, fresh=self._fresh
        )
        self._link = MasterLink(
            self._reactor,
            self._timers,
            self.trust.contexts,
            self._masters,
            self._batch,
            handle=self.driver.soon,
            now=now,
            fresh=self._fresh,
            jitter=_jitter,
            count=count,
            standby_links=config.standby_links,
        )
        ports = self.driver.ports
        ports.store, ports.link, ports.containers = store, self._link, self._containers
        ports.checks, ports.executors, ports.count = self._checks, self._executors, count
        ports.delete, ports.stop = self._house.delete, self._leave
        self._gauges = AgentGauges(self.state, cache, now)
        self.metrics.group(self._gauges)
        self.metrics.gauge("slave/standby_links", lambda: self._link.standbys)
        self.metrics.group(host_gauges)

    def _build_pages(self) -> AgentPages:
        config, state, trust = self._config, self.state, self.trust
        stamp = build_stamp()
        facts = Facts(
            MESOS_VERSION,
            self._now(),
            build_date=stamp.date,
            build_time=stamp.time,
            build_user=stamp.user,
            flags=document(config),
            external_log_file=config.external_log_file,
        )
        files = FileStore(trust.authorizer, (SandboxPaths(state),))
        if config.external_log_file is not None:
            path = os.path.realpath(config.external_log_file)
            files.attach("/slave/log", Root(path, Action.ACCESS_MESOS_LOG, NOTHING))
        usage = UsageCache(self._containerizer, self._now)
        calls = OperatorCalls(
            state, facts, trust.authorizer, files, self.metrics, usage, self._set_level
        )
        return AgentPages(
            state,
            facts,
            Guard(trust.reading, trust.changing),
            trust.authorizer,
            self._executors,
            calls,
            FilesApi(files),
            self.metrics,
            usage,
            lambda: state.master_hostname or self._link.master_host,
            lambda values: prometheus.render(values, self.metrics.is_counter),
        )

    def _handle(self, request: Request) -> Any:
        if self._pages is None:
            return text_response(503, "Agent has not finished recovery")
        return self._pages.handle(request)

    def _listen(self) -> None:
        server = self._server(self._handle, HttpServer)
        limits = TlsLimits(handshaking=self._config.max_unauthenticated_connections)
        self._listeners.append(
            listen_tls(
                self._reactor,
                self._config.ip,
                self._config.port,
                self.trust.contexts,
                {HTTP: server},
                limits,
                batch=self._batch,
            ),
        )

    def _server(self, handler: Any, kind: type[ServerT]) -> ServerT:
        config = self._config

        def body_limit(path: str) -> int:
            if canonical(path) == EXECUTOR_PATH:
                return _EXECUTOR_BODY
            return config.max_operator_body

        limits = HttpLimits(stream_buffer_bytes=config.max_stream_buffer)
        server = kind(self._reactor, handler, body_limit=body_limit, limits=limits)
        self._servers.append(server)
        return server

    def _fresh(self) -> ConnectionId:
        return ConnectionId(next(self._connections))

    def _token(self, container_id: ContainerId) -> str:
        container = self.state.containers.get(container_id)
        if container is None:
            return TOKEN_MARKER
        return self.trust.tokens.executor_token(
            container.framework_id, container.executor_id, container_id
        )

    def _elsewhere(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *args)

    def _leave(self, exit_code: int, message: str) -> None:
        self.driver.stopped = True
        self._leaving = exit_code == 0
        self._ended(exit_code, message)

    def shut_down(self) -> None:
        """The operator ends the agent for good: every task is killed, then it leaves."""
        self.driver.handle(ShutdownAsked(self._now(), "the operator asked for it"))

    def reload(self) -> Problem | None:
        """Certificates are read again, and peers revoked by now are cut; a Problem says why the
        old certificates stay."""
        problem = self.trust.contexts.reload()
        if problem is None:
            for listener in self._listeners:
                self._cut_revoked(listener)
            self._link.drop_revoked(self.trust.contexts.is_revoked)
        return problem

    def _cut_revoked(self, listener: Listener) -> None:
        if not isinstance(listener.factory, TLSServerFactory):
            return
        for connection in listener.factory.connections():
            certificate = connection.peer_certificate()
            if certificate is not None and self.trust.contexts.is_revoked(certificate):
                self.log.warn(
                    "Closing {peer}: its certificate is revoked", peer=connection.peer_address
                )
                connection.abortConnection()

    async def stop(self) -> None:
        """Nothing of this process is left; tasks go on."""
        if hasattr(self, "driver"):
            self.driver.stop()
            self._executors.stop()
            self._checks.stop_all()
            self._containers.stop()
            self._house.stop()
            self._link.stop()
        await self._masters.stop()
        listeners = list(self._listeners)
        listeners += self._endpoint.listeners
        await stop_gracefully(listeners, self._servers, _STOP_S)
        if self._leaving:
            await self._end_launcher()
        self._launcher.close()
        self._timers.cancel_all()
        if self._store is not None:
            self._store.close()

    async def _end_launcher(self) -> None:
        try:
            await self._launcher.shutdown()
        except MesosError as error:
            # It refuses while a task lives, and ends by itself later.
            self.log.warn("The launcher stays: {reason}", reason=str(error))


def _jitter() -> float:
    return int.from_bytes(os.urandom(4)) / (1 << 32)
