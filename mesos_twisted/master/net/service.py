"""A master, wired: every part made once and told of the others, started, reloaded and stopped."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.election.interfaces import Elector
from mesos_twisted.files.http import FilesApi
from mesos_twisted.files.store import FileStore, Root
from mesos_twisted.logs import Logging
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.decide import decide
from mesos_twisted.master.core.state import HEARTBEAT_INTERVAL_S, new_state
from mesos_twisted.master.net import setup
from mesos_twisted.master.net.agent_files import AgentFiles, agents_client
from mesos_twisted.master.net.agent_links import AgentLinks
from mesos_twisted.master.net.driver import MasterDriver
from mesos_twisted.master.net.endpoints import Endpoints
from mesos_twisted.master.net.gate import Gate, Leadership
from mesos_twisted.master.net.operator_api import OperatorApi
from mesos_twisted.master.net.scheduler_api import SchedulerApi
from mesos_twisted.master.net.scheduler_streams import SchedulerStreams
from mesos_twisted.master.net.standing import standing
from mesos_twisted.master.net.subscriptions import Subscriptions
from mesos_twisted.master.net.upkeep import Upkeep
from mesos_twisted.master.net.v0_pages import V0Pages
from mesos_twisted.master.views.gauges import gauges
from mesos_twisted.master.views.operator import OperatorViews
from mesos_twisted.master.views.pages import Pages
from mesos_twisted.metrics import names
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.metrics.system import host_gauges
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, FreshIds
from mesos_twisted.registry.interfaces import Registry
from mesos_twisted.registry.operations import Lead, Snapshot, next_lead
from mesos_twisted.registry.zookeeper import ZooKeeperRegistry
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import NOTHING
from mesos_twisted.security.net.tls import ContextSource
from mesos_twisted.systemd import Standing
from mesos_twisted.transport.http1 import HttpLimits, HttpServer
from mesos_twisted.transport.listen import Listener, listen_tls, stop_gracefully
from mesos_twisted.transport.tls_factory import HTTP, TlsLimits
from mesos_twisted.turns import Turns
from mesos_twisted.webui import pages as webui


class Stop(Protocol):
    """Ends the process."""

    def __call__(self, exit_code: int, sentence: str) -> None:
        """Soon, with this exit code."""


class Handshakes:
    """Counts TLS handshakes, the failed ones by their reason."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def handshake_done(self, peer: str) -> None:
        """One more."""
        self._metrics.add("master/tls_handshakes")

    def handshake_failed(self, reason: str, peer: str) -> None:
        """One that will never complete."""
        self._metrics.add(f"master/tls_handshake_failures/{reason}")


class MasterService:
    """One master process. `seed` is 32 fresh random bytes; `now` gives epoch seconds.

    `contexts` are used in place of the flags' certificate files; `host` gives the machine's gauges.
    """

    log = Logger()

    def __init__(
        self,
        config: MasterConfig,
        reactor: Any,
        registry: Registry,
        elector: Elector,
        logging: Logging,
        now: Callable[[], float],
        seed: bytes,
        stop: Stop,
        contexts: ContextSource | None = None,
        host: Callable[[], Mapping[str, float]] = host_gauges,
    ) -> None:
        ids, numbers = FreshIds(seed), partial(next, itertools.count(1))
        self.config, self._reactor, self._elector, self._now = config, reactor, elector, now
        self.registry = registry
        self.timers = timers = Timers(reactor)
        turns = Turns(timers)
        self.trust = trust = setup.trust(config, now, contexts)
        self.facts = setup.facts(config)
        self.metrics = metrics = Metrics(names.MASTER_COUNTERS, names.MASTER_TIMERS)
        self.leadership = Leadership()
        # The port is known for certain once the listener is there; see start().
        self.state = state = new_state(
            setup.master_info(config, ids.uuid(), config.port),
            setup.policy(config),
            setup.allocator(config),
            setup.weights(config),
        )
        state.started_at = now()
        self.driver = driver = MasterDriver(
            partial(decide, state),
            timers,
            now,
            lambda: int.from_bytes(ids.uuid_bytes()[:6], "big"),
            allocation_interval_s=config.allocation_interval,
            store_timeout_s=config.registry_store_timeout,
        )
        handle = driver.handle
        gate = Gate(trust.identities, trust.authorizer, self.leadership, lambda: state.leading)
        self.pages, self.views = Pages(state, self.facts), OperatorViews(state)
        self.streams = SchedulerStreams(timers, HEARTBEAT_INTERVAL_S, self._stream_closed)
        self.links = AgentLinks(
            trust.identities,
            trust.authorizer,
            handle,
            now,
            numbers,
            partial(metrics.add, "master/dropped_messages"),
            config.max_stream_buffer,
        )
        self.subscriptions = Subscriptions(
            state, self.views, timers, turns, config.max_operator_event_stream_subscribers
        )
        ports = driver.ports
        ports.streams, ports.links, ports.registry = self.streams, self.links, registry
        ports.metrics, ports.publish, ports.stop = metrics, self.subscriptions.publish, stop
        files = FileStore(trust.authorizer)
        if config.external_log_file is not None:
            log_root = Root(config.external_log_file, Action.ACCESS_MESOS_LOG, NOTHING)
            files.attach("/master/log", log_root)
        schedulers = SchedulerApi(
            state,
            gate,
            trust.scheduler,
            self.streams,
            handle,
            now,
            numbers,
            ids.uuid,
        )
        operators = OperatorApi(
            state,
            gate,
            trust.readwrite,
            self.views,
            self.subscriptions,
            metrics,
            self.facts,
            files,
            logging,
            handle,
            driver.settled,
            now,
            timers,
            turns,
        )
        pages = V0Pages(
            state,
            gate,
            trust.readonly,
            trust.readwrite,
            self.pages,
            self.facts,
            metrics,
            operators,
            FilesApi(files),
            turns,
        )
        self.agent_files = AgentFiles(
            state,
            trust.authorizer,
            trust.readonly.otherwise,
            agents_client(reactor, trust.contexts, config.cluster),
            timers,
        )
        routes = {
            **pages.routes(),
            # It holds no data; who may not see any is told so at once, by the browser's own prompt.
            "/": pages.leading_page(lambda request, principal: webui.index(request)),
            "/agent": pages.leading_page(self.agent_files.handle),
        }
        self.endpoints = Endpoints(schedulers.handle, operators.handle, routes, config)
        limits = HttpLimits(
            body_bytes=config.max_operator_body, stream_buffer_bytes=config.max_stream_buffer
        )
        self.http = HttpServer(
            reactor,
            self.endpoints.handle,
            body_limit=self.endpoints.body_limit,
            limits=limits,
            turns=turns,
        )
        metrics.group(lambda: gauges(state, now()))
        metrics.group(host)
        metrics.gauge("master/standby_links", lambda: self.links.standbys)
        metrics.gauge("registrar/queued_operations", lambda: driver.registry_operations)
        metrics.gauge("registrar/registry_size_bytes", lambda: _size(registry, config))
        self.upkeep = Upkeep(self, timers)
        self._stop = stop
        self._stopping: Deferred[None] | None = None
        self.listener: Listener | None = None
        self._ready: Callable[[], None] = lambda: None

    def start(self, ready: Callable[[], None]) -> None:
        """Listen and contend; `ready()` is called once calls are served here, after recovery, or
        redirected to who leads.

        Raises UnavailableError when the port is taken.
        """
        config = self.config
        self.listener = listen_tls(
            self._reactor,
            config.ip,
            config.port,
            self.trust.contexts,
            {HTTP: self.http, agentlink.ALPN: self.links},
            TlsLimits(handshaking=config.max_unauthenticated_connections),
            Handshakes(self.metrics),
        )
        port = self.listener.port_number
        self.state.info = setup.master_info(config, self.state.info.id, port)
        self.log.info("Listening on {ip}:{port}", ip=config.ip, port=port)
        self.contend(ready)

    def contend(self, ready: Callable[[], None]) -> None:
        """The part of `start` after listening: lead, or follow who does."""
        self._ready = ready
        self.links.stand_by(self.timers)
        self.driver.start()
        self.upkeep.start()
        if isinstance(self.registry, ZooKeeperRegistry):
            self.registry.lost = self._deposed
        self._elector.start(self.state.info, self._led)

    def standing(self) -> Standing:
        """What this master does or waits for."""
        led, driver = self.leadership, self.driver
        limit_s = self.config.registry_store_timeout
        return standing(led.leader, led.is_us, self.state.leading, driver.write_s, limit_s)

    def reload(self) -> bool:
        """New certificates for new connections, and connections of revoked ones are cut.

        False, and nothing is changed, when the files are not good.
        """
        if self.trust.contexts.reload() is not None:
            return False
        if self.listener is not None:
            self.upkeep.cut_revoked(self.listener)
        return True

    def stop(self) -> Deferred[None]:
        """Fires when nothing is left: followers know, answers are out, the registry is closed."""
        if self._stopping is None:
            self._stopping = self._shut_down()
        return self._stopping

    async def _stop_parts(self) -> None:
        await self._elector.stop()
        self.driver.stop()
        self.upkeep.stop()
        self.streams.stop()
        self.links.stop()
        self.subscriptions.stop()
        listeners = [] if self.listener is None else [self.listener]
        await self.agent_files.client.close()
        await stop_gracefully(listeners, [self.http], 5.0)
        await self.registry.close()
        self.timers.cancel_all()

    def _shut_down(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop_parts())

    def _stream_closed(self, connection: ConnectionId, reason: str) -> None:
        self.log.info("A scheduler's stream closed: {reason}", reason=reason)
        self.driver.handle(ev.SchedulerClosed(connection, self._now()))

    # Leading

    def _led(self, leader: m.MasterInfo | None, is_us: bool) -> None:
        led_before = self.leadership.is_us
        self.leadership.leader, self.leadership.is_us = leader, is_us
        if led_before and not is_us:
            why = "The session in ZooKeeper by which this master led has ended"
            self._deposed(why if leader is None else "Another master leads")
        elif is_us and not led_before:
            began = self.timers.seconds()
            loading = self.registry.load().addCallback(self._take_over)
            late = self.timers.after(self.config.registry_fetch_timeout, self._load_late)
            loading.addBoth(self._fetched, late)
            loading.addCallbacks(self._recovered, self._not_recovered, callbackArgs=(began,))
            loading.addErrback(self._not_recovered)
        elif leader is not None:
            self._ready()

    def _deposed(self, why: str) -> None:
        """What was decided so far was right; nothing more is decided, answered or written."""
        self.leadership.leader, self.leadership.is_us = None, False
        self.driver.stop()
        self._stop(1, f"{why}; this master must start afresh.")

    def _take_over(self, found: Snapshot) -> Deferred[tuple[Snapshot, Lead]]:
        """Nothing is served before the registry says that this master leads."""
        lead = next_lead(found, self.state.info)
        return self.registry.apply([lead]).addCallback(lambda _: (found, lead))

    def now(self) -> float:
        """Epoch seconds."""
        return self._now()

    def _fetched(self, result: Any, late: Any) -> Any:
        late.cancel()
        return result

    def _load_late(self) -> None:
        limit = self.config.registry_fetch_timeout
        self._stop(75, f"The registry was not read within {limit:g} s (--registry_fetch_timeout).")

    def _recovered(self, taken: tuple[Snapshot, Lead], began: float) -> None:
        if self.driver.stopped:
            return
        found, lead = taken
        took_ms = (self.timers.seconds() - began) * 1000.0
        self.metrics.gauge("registrar/state_fetch_ms", lambda: took_ms)
        self.log.info(
            "This master leads: {agents} agents may return, {unreachable} are unreachable",
            agents=len(found.agents),
            unreachable=len(found.unreachable),
            master_id=self.state.info.id,
            registry_id=lead.registry_id,
            epoch=lead.epoch,
        )
        if found.weights and self.config.weights:
            self.log.warn("Weights of the registry are used; --weights counts at first start only")
        self.driver.handle(
            ev.Recovered(
                self._now(),
                found.agents,
                found.unreachable,
                found.gone,
                found.weights,
                lead.registry_id,
                lead.epoch,
                found.deactivated,
                found.draining,
            )
        )
        self.links.lead()
        self._ready()

    def _not_recovered(self, failure: Failure) -> None:
        if self.driver.stopped:
            return
        self.log.error(
            "This master cannot lead without its registry: {why}", why=failure.getErrorMessage()
        )
        self._stop(75, failure.getErrorMessage())


def registry_path(config: MasterConfig) -> str:
    """Where the embedded registry lies."""
    return str(Path(config.work_dir) / "registry.sqlite")


def _size(registry: Registry, config: MasterConfig) -> int:
    if isinstance(registry, ZooKeeperRegistry):
        return registry.size_bytes
    try:
        return os.stat(registry_path(config)).st_size
    except OSError:
        # Not kept in a file, or not yet.
        return 0
