"""HTTP as values: requests, answers, peers, limits. No socket, no parser, no rule about paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from mesos_twisted.transport.stream import StreamWriter

Headers = tuple[tuple[str, str], ...]

TEXT = "text/plain; charset=utf-8"
MIB = 1024 * 1024


@dataclass(slots=True)
class Peer:
    """Who is at the other end; made once per connection and shared by its requests.

    `certificate` is DER, `context` the TLS context the connection was made under. `identity` is a
    free slot in which the security layer keeps the principal it derived from the certificate.
    """

    address: str
    port: int
    certificate: bytes | None = None
    context: object | None = None
    secure: bool = False
    identity: object | None = None

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(slots=True)
class Request:
    """One complete request. `path` is decoded and without query; header names are lower case.

    `headers` may be shared with other requests of the connection: read it, never change it.
    A HEAD request is shown to handlers as GET; the server leaves the body out.
    """

    method: str
    path: str
    raw_path: bytes
    query: str
    headers: dict[str, str]
    body: bytes
    peer: Peer
    keep_alive: bool = True
    http10: bool = False
    head: bool = False

    def args(self) -> dict[str, list[str]]:
        """The query's arguments, decoded; blank values are kept."""
        return _pairs(self.query)

    def form(self) -> dict[str, list[str]]:
        """The arguments of an `application/x-www-form-urlencoded` body; undecodable: empty."""
        return _pairs(self.body.decode("utf-8", "replace"))


def _pairs(text: str) -> dict[str, list[str]]:
    if not text:
        return {}
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return {}


@dataclass(slots=True)
class Response:
    """A whole answer. A body without `content_type` is plain UTF-8 text."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: Headers = ()


@dataclass(slots=True)
class StreamResponse:
    """An endless answer: `on_start(writer)` is called once the head is on its way."""

    status: int
    content_type: str | None
    headers: Headers
    on_start: Callable[[StreamWriter], None]


@dataclass(slots=True)
class ChunkedBody:
    """A large answer, taken piece by piece as the peer reads, a few milliseconds a turn.

    `pieces` may be of any size, empty ones included. With `compress` it is gzipped on the fly for
    peers that accept it.
    """

    status: int
    pieces: Iterable[bytes]
    content_type: str | None = None
    headers: Headers = ()
    compress: bool = False


@dataclass(frozen=True, slots=True)
class HttpProblem:
    """A request that cannot be served as sent; the connection closes after the answer."""

    status: int
    sentence: str


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds on one HTTP connection; times in seconds, sizes in bytes."""

    head_bytes: int = 16 * 1024
    header_count: int = 100
    body_bytes: int = MIB
    header_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0
    stream_buffer_bytes: int = 16 * MIB
    pipelined: int = 64


def fixed_body_limit(limit: int) -> Callable[[str], int]:
    """A path -> limit function that gives every path the same limit."""

    def same(path: str) -> int:
        return limit

    return same


def reason_phrase(status: int) -> str:
    """The standard phrase of `status`, or nothing."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def text_response(status: int, sentence: str, headers: Headers = ()) -> Response:
    """An answer that is one sentence for a person."""
    return Response(status, sentence.encode(), TEXT, headers)


@dataclass(slots=True)
class ResponseHead:
    """Status line and headers of an answer, as a client sees them."""

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)
    http10: bool = False


Result = Response | StreamResponse | ChunkedBody
