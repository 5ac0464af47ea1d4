"""The grammar of HTTP/1.1 heads: header lines, body lengths, request targets.

Pure and strict (RFC 9112): whatever two implementations could read differently is refused, since
that is how requests are smuggled. Raises `HeadError`, whose status the peer is told.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from mesos_twisted.errors import MalformedError

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# No alternative of these patterns can match the same text twice, so they cannot backtrack.
_HEADER = re.compile(rf"({_TOKEN}+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_REQUEST_LINE = re.compile(rf"([A-Za-z]{_TOKEN}{{0,31}}) ([\x21-\x7e]+) HTTP/1\.([01])")
_ANY_VERSION = re.compile(r"[A-Za-z]\S* \S+ HTTP/(?!1\.[01]\Z)\d+(\.\d+)?")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
# A repeated one of these leaves the meaning of the message open.
_SINGLE = frozenset(
    ("host", "content-length", "transfer-encoding", "content-type", "authorization", "expect")
)

#: `body_length` for a body of chunks.
CHUNKED = -1


class HeadError(MalformedError):
    """A head that cannot be served; `status` is the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def parse_headers(lines: list[str], max_count: int) -> dict[str, str]:
    """Names in lower case; repeated ones joined by ", ", except where that would be ambiguous."""
    if len(lines) > max_count:
        raise HeadError(431, f"The message has more than {max_count} header lines")
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise HeadError(400, f"The header line {line[:60]!r} is malformed")
        name = match[1].lower()
        value = match[2].strip(" \t")
        if name in headers:
            if name in _SINGLE:
                raise HeadError(400, f"The header {name} is given more than once")
            headers[name] = f"{headers[name]}, {value}"
        else:
            headers[name] = value
    return headers


def parse_request_line(line: str) -> tuple[str, str, bool]:
    """Method, target and whether the client speaks HTTP/1.0."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        if _ANY_VERSION.fullmatch(line):
            raise HeadError(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here")
        raise HeadError(400, "The request line is malformed; send METHOD /path HTTP/1.1")
    return match[1], match[2], match[3] == "0"


def split_target(target: str) -> tuple[str, str]:
    """Decoded path and raw query of a request target in origin or absolute form."""
    if not target.startswith("/"):
        match = _ABSOLUTE.match(target)
        if match is None:
            raise HeadError(400, "The request target must begin with /")
        target = target[match.end() :]
        if not target.startswith("/"):
            target = "/" + target
    if "#" in target:
        raise HeadError(400, "The request target contains a fragment")
    path, _, query = target.partition("?")
    if "%" in path:
        if _BAD_PERCENT.search(path):
            raise HeadError(400, "The request path contains a malformed percent escape")
        try:
            path = unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            raise HeadError(400, "The request path is not UTF-8") from None
        if not path.isprintable():
            raise HeadError(400, "The request path contains a control character")
    return path, query


def body_length(headers: dict[str, str], http10: bool) -> int | None:
    """Bytes of body to come, `CHUNKED`, or `None` when the head names no length."""
    encoding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise HeadError(400, "Both Content-Length and Transfer-Encoding are given")
        if http10:
            raise HeadError(400, "HTTP/1.0 has no Transfer-Encoding")
        if encoding.lower() != "chunked":
            raise HeadError(501, "The only transfer encoding understood is chunked")
        return CHUNKED
    if length is None:
        return None
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        raise HeadError(400, "Content-Length is not a decimal number")
    return int(length)


def keeps_alive(headers: dict[str, str], http10: bool) -> bool:
    """Whether the connection outlives this message; an HTTP/1.0 one never does here."""
    if http10:
        return False
    connection = headers.get("connection")
    return connection is None or "close" not in _tokens(connection)


def accepts_gzip(headers: dict[str, str]) -> bool:
    """Whether Accept-Encoding allows gzip."""
    accept = headers.get("accept-encoding")
    if accept is None:
        return False
    for item in accept.split(","):
        name, _, parameters = item.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip", "*"):
            weight = parameters.replace(" ", "").lower()
            return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def has_dot_dot(path: str) -> bool:
    """Whether a segment of `path` climbs; such a path is answered 404."""
    return "/.." in path and ".." in path.split("/")


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]
