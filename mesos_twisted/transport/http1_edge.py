"""Where HTTP meets Twisted: who the peer is, why a connection ended, what a crash looks like."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.transport.http1_render import HeadRenderer
from mesos_twisted.transport.messages import HttpProblem, Peer, Request, Response, text_response

_log = Logger()


def peer_of(transport: ITransport) -> Peer:
    """The peer of `transport`; a Unix socket's address is `unix`."""
    address = transport.getPeer()
    host, port = "unix", 0
    if isinstance(address, IPv4Address | IPv6Address):
        host, port = address.host, address.port
    peer_certificate = getattr(transport, "peer_certificate", None)
    if peer_certificate is None:
        return Peer(host, port)
    return Peer(host, port, peer_certificate(), getattr(transport, "context", None), True)


def closing_sentence(reason: Failure) -> str:
    """Why a connection ended, as one sentence."""
    if isinstance(reason.value, ConnectionDone):
        return "The peer closed the connection"
    return f"The connection was lost: {reason.getErrorMessage()}"


def problem_answer(problem: HttpProblem, renderer: HeadRenderer) -> bytes:
    """The last answer on a connection."""
    body = (problem.sentence + "\n").encode()
    head = renderer.start(problem.status, "text/plain; charset=utf-8")
    return b"%bConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def current_failure() -> Failure:
    """The exception being handled."""
    return Failure()


def crashed(request: Request, failure: Failure) -> Response:
    """The answer to a request whose handler raised; the failure is logged, not told."""
    _log.failure(
        "Handling {method} {path} from {peer} failed",
        failure,
        method=request.method,
        path=request.path,
        peer=str(request.peer),
    )
    return text_response(500, "The request could not be handled: an internal error was logged")
