"""Answer heads as bytes: status line, Date, Content-Type; rendered once a second for the hot ones.

Pure but for its cache; the time comes in.
"""

from __future__ import annotations

from email.utils import formatdate

from mesos_twisted.errors import BugError
from mesos_twisted.transport.messages import TEXT, Headers, reason_phrase

_FORBIDDEN = ("\r", "\n", "\0")
_CACHE = 512


class HeadRenderer:
    """Renders heads up to and without their final empty line."""

    __slots__ = ("_cache", "_date", "_second")

    def __init__(self) -> None:
        self._cache: dict[tuple[int, str | None], bytes] = {}
        self._second = -1
        self._date = b""

    def tick(self, now: float) -> None:
        """`now` (seconds since the epoch) is the time answers are dated with."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True).encode()
            self._cache.clear()

    def start(self, status: int, content_type: str | None) -> bytes:
        """Status line, Date and, if given, Content-Type, each with its CR LF."""
        key = (status, content_type)
        head = self._cache.get(key)
        if head is None:
            head = b"HTTP/1.1 %d %b\r\nDate: %b\r\n" % (
                status,
                reason_phrase(status).encode(),
                self._date,
            )
            if content_type is not None:
                head += render_headers((("Content-Type", content_type),))
            if len(self._cache) < _CACHE:
                self._cache[key] = head
        return head

    def empty(self, status: int, content_type: str | None) -> bytes:
        """A whole answer without a body."""
        return self.start(status, content_type) + b"Content-Length: 0\r\n\r\n"


def render_headers(headers: Headers) -> bytes:
    """Header lines, each with its CR LF. A line break in one is our bug, refused here."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    count = len(lines)
    if text.count("\r") != count or text.count("\n") != count or "\0" in text:
        for name, value in headers:
            if any(sign in name or sign in value for sign in _FORBIDDEN):
                raise BugError(f"The header {name!r} holds a line break")
    return text.encode("latin-1", "replace")


def content_type_of(body: bytes, content_type: str | None) -> str | None:
    """The Content-Type to send: plain text unless said otherwise, none without a body."""
    if content_type is None and body:
        return TEXT
    return content_type
