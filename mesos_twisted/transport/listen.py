"""Listening, with TLS or without, and stopping without cutting an answer short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from mesos_twisted.errors import UnavailableError
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.http1_server import HttpServer
from mesos_twisted.transport.tcp import ACCEPTS, address_text, listen_tcp
from mesos_twisted.transport.tls import IContextSource
from mesos_twisted.transport.tls_factory import HandshakeObserver, TlsLimits, TLSServerFactory


class Listener:
    """A listening port: `port` is Twisted's, `factory` the TLS factory or the plain one."""

    def __init__(self, port: IListeningPort, factory: IProtocolFactory) -> None:
        self.port = port
        self.factory = factory

    @property
    def port_number(self) -> int:
        """The port listened on, also when 0 was asked for."""
        address: Any = self.port.getHost()
        number: int = address.port
        return number

    def stop_listening(self) -> Deferred[Any]:
        """No connection is accepted any more, and handshakes under way end."""
        if isinstance(self.factory, TLSServerFactory):
            self.factory.drop_handshakes()
        return maybeDeferred(self.port.stopListening)


def listen_tls(
    reactor: Any,
    interface: str,
    port: int,
    contexts: IContextSource,
    by_alpn: Mapping[bytes, IProtocolFactory],
    limits: TlsLimits | None = None,
    observer: HandshakeObserver | None = None,
    batch: FlushBatch | None = None,
) -> Listener:
    """Listen with TLS; `by_alpn` maps `b"http/1.1"` and others to their factories.

    Raises `UnavailableError` when the port is taken or not allowed.
    """
    factory = TLSServerFactory(reactor, contexts, by_alpn, limits, observer, batch)
    # What a newcomer has sent is read a turn after it is accepted. So that only silence costs it a
    # place, two turns' newcomers must be well below the limit.
    accepts = max(1, factory.limits.handshaking // 4)
    return Listener(_listen(reactor, interface, port, factory, accepts), factory)


def listen_plain(reactor: Any, interface: str, port: int, factory: IProtocolFactory) -> Listener:
    """Listen without TLS: for loopback and tests. Raises `UnavailableError`."""
    return Listener(_listen(reactor, interface, port, factory), factory)


def stop_gracefully(
    listeners: Iterable[Listener], servers: Iterable[HttpServer], grace_s: float = 10.0
) -> Deferred[None]:
    """Fires when nothing listens and every HTTP connection is gone, `grace_s` at the latest."""
    ending: list[Deferred[Any]] = [listener.stop_listening() for listener in listeners]
    ending += [server.stop(grace_s) for server in servers]
    done: Deferred[None] = Deferred()
    DeferredList(ending, consumeErrors=True).addCallback(lambda results: done.callback(None))
    return done


def _listen(
    reactor: Any, interface: str, port: int, factory: IProtocolFactory, accepts: int = ACCEPTS
) -> IListeningPort:
    try:
        return listen_tcp(reactor, interface, port, factory, accepts)
    except CannotListenError as problem:
        raise UnavailableError(
            f"Cannot listen on {address_text(interface or '0.0.0.0', port)}: {problem.socketError}"
        ) from problem
