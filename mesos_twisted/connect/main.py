"""`mesos-twisted connect`: for clients that cannot speak TLS, or have no certificate.

It listens on loopback or a Unix socket in plaintext, follows the leading master, and speaks mutual
TLS for its clients. SIGHUP reads the certificates again.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import sys
from collections.abc import Sequence
from random import SystemRandom
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from mesos_twisted import config
from mesos_twisted.clock import Timers
from mesos_twisted.connect.config import ConnectConfig
from mesos_twisted.connect.core.address import (
    Address,
    TcpAddress,
    parse_listen,
    split_host_port,
)
from mesos_twisted.connect.net.gate import Gate
from mesos_twisted.connect.net.proxy import Proxy
from mesos_twisted.connect.net.upstream import AgentUpstream, IUpstream, LeaderUpstream
from mesos_twisted.election.leader import find_masters
from mesos_twisted.errors import MalformedError, MesosError, UnavailableError
from mesos_twisted.logs import Logging
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.systemd import LoopWatch, Notifier
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.http1 import HttpLimits, HttpServer
from mesos_twisted.transport.leader import Masters
from mesos_twisted.transport.tcp import address_text, listen_tcp
from mesos_twisted.zookeeper.url import is_zk_url, parse_zk_url, without_credentials

_log = Logger()
_STOP_S = 5.0
#: A master that does not take a connection within this is passed over for the next.
_CONNECT_S = 4.0
#: Requests under way at the same time to one master or agent.
_CONNECTIONS = 32


def start(arguments: Sequence[str]) -> int:
    """Run a connector until it is asked to end; its exit status."""
    loaded = config.load(ConnectConfig, arguments, os.environ)
    if loaded.help_asked:
        title = "mesos-twisted connect: a loopback door to the cluster for clients without TLS"
        print(config.help_text(ConnectConfig, title), end="")
        return 0
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    settings = loaded.config
    check(settings)
    if loaded.check_only:
        return 0
    Logging(sys.stderr, settings.log_format, settings.logging_level).begin()
    from twisted.internet import reactor

    connector = Connector(reactor, settings, Notifier(os.environ))
    try:
        connector.start()
    except MesosError as error:
        print(f"mesos-twisted connect: {error}", file=sys.stderr)
        return 1
    run: Any = reactor
    signal.signal(signal.SIGHUP, lambda *_: run.callFromThread(connector.reload))
    run.addSystemEventTrigger("before", "shutdown", connector.stop)
    run.callWhenRunning(connector.tell_ready)
    run.run()
    return 0


def check(settings: ConnectConfig) -> None:
    """Raises MalformedError or UnavailableError when these settings cannot work."""
    config.require(settings, "tls_ca_file", "the cluster is checked by it")
    if bool(settings.master) == bool(settings.agent):
        raise MalformedError("Give either --master=host:port[,…] or --agent=host:port")
    if is_zk_url(",".join(settings.master)):
        parse_zk_url(",".join(settings.master))
    else:
        for master in settings.master:
            split_host_port(master, "--master")
    if settings.agent:
        split_host_port(settings.agent, "--agent")
    addresses(settings)
    allowed_users(settings)
    contexts(settings)


def addresses(settings: ConnectConfig) -> list[Address]:
    """Where to listen. Raises MalformedError."""
    if not settings.listen:
        raise MalformedError("--listen is empty; give an address like 127.0.0.1:5050")
    return [parse_listen(text) for text in settings.listen]


def allowed_users(settings: ConnectConfig) -> frozenset[int]:
    """User ids that may connect: root's, the connector's own, and those asked for."""
    allowed = {0, os.geteuid()}
    for word in settings.allow_uid:
        if word.isdecimal():
            allowed.add(int(word))
            continue
        try:
            allowed.add(pwd.getpwnam(word).pw_uid)
        except KeyError:
            raise MalformedError(f"--allow_uid={word}: there is no such user here") from None
    return frozenset(allowed)


def contexts(settings: ConnectConfig) -> ContextSource:
    """The connector's certificates. Raises MalformedError or UnavailableError."""
    return ContextSource(
        CertificateFiles(
            ca_bundle=settings.tls_ca_file or "",
            cert=settings.tls_cert_file,
            key=settings.tls_key_file,
            crl=settings.tls_crl_file,
        )
    )


class Connector:
    """A running connector: `start`, then `stop`."""

    def __init__(self, reactor: Any, settings: ConnectConfig, notifier: Notifier) -> None:
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
        self.ports: list[IListeningPort] = []

    def start(self) -> None:
        """Afterwards it serves. Raises UnavailableError when an address is taken."""
        for address in addresses(self._settings):
            self.ports.append(self._listen(address))
        self._watch = LoopWatch(self._timers, self._notifier, max_lag_s=5.0)

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
        self._upstream.stop()
        ending.append(self._server.stop(_STOP_S))
        if self._masters is not None:
            ending.append(self._masters.stop())
        done: Deferred[None] = Deferred()
        DeferredList(ending, consumeErrors=True).addCallback(self._ended, done)
        return done

    def reload(self) -> None:
        """Read the certificates again; bad ones change nothing and are logged."""
        self._notifier.reloading(self._timers.seconds())
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
            SystemRandom().random,
            self._contexts if settings.zk_tls else None,
            # Waiting is done there, where a request may have been sent meanwhile.
            patience_s=1.0,
        )
        return LeaderUpstream(self._http, self._masters, self._timers, settings.leader_timeout)

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
