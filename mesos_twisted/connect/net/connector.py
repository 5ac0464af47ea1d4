"""A running connector: its door, its way to the masters, and its word in ZooKeeper."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from random import SystemRandom
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from mesos_twisted.clock import Timers
from mesos_twisted.connect.config import ConnectConfig
from mesos_twisted.connect.core.address import Address, TcpAddress
from mesos_twisted.connect.core.announcement import master_info
from mesos_twisted.connect.net.announcer import Announcer
from mesos_twisted.connect.net.gate import Gate
from mesos_twisted.connect.net.proxy import Proxy
from mesos_twisted.connect.net.upstream import AgentUpstream, IUpstream, LeaderUpstream
from mesos_twisted.connect.settings import addresses, allowed_users, announcement, contexts
from mesos_twisted.election.leader import SESSION_S, find_masters
from mesos_twisted.errors import UnavailableError
from mesos_twisted.systemd import LoopWatch, Notifier
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.http1 import HttpLimits, HttpServer
from mesos_twisted.transport.leader import Masters
from mesos_twisted.transport.tcp import address_text, listen_tcp
from mesos_twisted.zookeeper.net.ensemble import Ensemble
from mesos_twisted.zookeeper.records import OPEN_ACL
from mesos_twisted.zookeeper.url import without_credentials

_log = Logger()
_chance = SystemRandom().random
_STOP_S = 5.0
#: A master that does not take a connection within this is passed over for the next.
_CONNECT_S = 4.0
#: Requests under way at the same time to one master or agent.
_CONNECTIONS = 32


class Connector:
    """A running connector: `start`, then `stop`.

    `failed(sentence)` is called when it cannot do what it was asked to, after `start`.
    """

    def __init__(
        self,
        reactor: Any,
        settings: ConnectConfig,
        notifier: Notifier,
        failed: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._notifier = notifier
        self._timers = Timers(reactor)
        self._contexts = contexts(settings)
        self._http = HttpClient(
            reactor, self._contexts, connections=_CONNECTIONS, connect_timeout_s=_CONNECT_S
        )
        self._masters: Masters | None = None
        self._upstream = self._make_upstream()
        names = frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})
        proxy = Proxy(
            self._upstream,
            self._timers,
            certified=settings.tls_cert_file is not None,
            names=names,
        )
        limits = HttpLimits(
            body_bytes=settings.max_body, stream_buffer_bytes=settings.max_stream_buffer
        )
        self._server = HttpServer(reactor, proxy.handle, limits=limits)
        self._gate = Gate(self._server, allowed_users(settings), self._timers)
        self._watch: LoopWatch | None = None
        self._failed = failed
        self._announcer: Announcer | None = None
        self.ports: list[IListeningPort] = []

    def start(self) -> None:
        """Afterwards it serves. Raises UnavailableError when an address is taken."""
        for address in addresses(self._settings):
            self.ports.append(self._listen(address))
        self._watch = LoopWatch(self._timers, self._notifier, max_lag_s=5.0)
        self._announcer = self._announce()

    def tell_ready(self) -> None:
        """Tell systemd and the log; from here on signals are heard."""
        where = ", ".join(port_text(port) for port in self.ports)
        to = self._settings.agent or without_credentials(",".join(self._settings.master))
        _log.info("Serving {where} for {to}", where=where, to=to)
        self._notifier.ready(f"serving {where} for {to}")

    def stop(self) -> Deferred[None]:
        """Fires when nothing is left: no port, no connection, no timer."""
        self._notifier.stopping()
        if self._watch is not None:
            self._watch.stop()
        ending: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self.ports]
        if self._announcer is not None:
            ending.append(self._announcer.stop())
        self._upstream.stop()
        ending.append(self._server.stop(_STOP_S))
        if self._masters is not None:
            ending.append(self._masters.stop())
        done: Deferred[None] = Deferred()
        DeferredList(ending, consumeErrors=True).addCallback(self._ended, done)
        return done

    def reload(self) -> None:
        """Read the certificates again; bad ones change nothing and are logged."""
        # systemd compares it with its own monotonic clock.
        self._notifier.reloading(time.monotonic())
        self._contexts.reload()
        self._notifier.ready("certificates read again")

    def _ended(self, results: object, done: Deferred[None]) -> None:
        self._timers.cancel_all()
        self._http.close().chainDeferred(done)

    def _make_upstream(self) -> IUpstream:
        settings = self._settings
        if settings.agent:
            return AgentUpstream(self._http, settings.agent)
        self._masters = find_masters(
            self._reactor,
            settings.master,
            _chance,
            self._contexts if settings.zk_tls else None,
            # Waiting is done there, where a request may have been sent meanwhile.
            patience_s=1.0,
        )
        return LeaderUpstream(self._http, self._masters, self._timers, settings.leader_timeout)

    def _announce(self) -> Announcer | None:
        wanted = announcement(self._settings)
        if wanted is None:
            return None
        url, address, acl = wanted
        if acl == OPEN_ACL:
            _log.warn(
                "Anyone who reaches ZooKeeper at {zk} may lead clients that look there to any"
                " address; give --announce credentials (zk://user:password@…), or set --zk_tls",
                zk=str(url),
            )
        at: Any = self.ports[addresses(self._settings).index(address)].getHost()
        ensemble = Ensemble(
            self._reactor,
            url,
            SESSION_S,
            _chance,
            self._contexts if self._settings.zk_tls else None,
        )
        # New at each start: it knows its own earlier tries by it.
        name = f"connect {socket.gethostname()} {int(_chance() * 2**48):012x}"
        announcer = Announcer(
            ensemble.client,
            url.path,
            acl,
            Timers(self._reactor),
            master_info(address.host, at.port, name),
            self._failed,
        )
        announcer.start()
        return announcer

    def _listen(self, address: Address) -> IListeningPort:
        if isinstance(address, TcpAddress):
            try:
                return listen_tcp(self._reactor, address.host, address.port, self._gate)
            except CannotListenError as problem:
                where = address_text(address.host, address.port)
                raise UnavailableError(f"Cannot listen on {where}: {problem.socketError}") from None
        try:
            # The lock beside the socket lets a socket left by a crash be replaced, and no other.
            port: IListeningPort = self._reactor.listenUNIX(
                address.path, self._gate, mode=0o666, wantPID=True
            )
        except (CannotListenError, OSError) as problem:
            raise UnavailableError(f"Cannot listen on {address.path}: {problem}") from None
        return port


def port_text(port: IListeningPort) -> str:
    """Where a port listens, as a flag would say it."""
    at: Any = port.getHost()
    if hasattr(at, "port"):
        return address_text(at.host, at.port)
    return f"unix:{at.name if isinstance(at.name, str) else at.name.decode()}"
