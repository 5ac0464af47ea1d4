"""Which headers pass, and where a request goes.

Hop-by-hop headers (RFC 9110, section 7.6.1) belong to one connection and never pass. The client's
credentials pass only when the connector has no certificate to speak with.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from mesos_twisted.transport.messages import Headers

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: Written anew for the next hop; a body arrives here decoded and whole.
_REWRITTEN = frozenset({"host", "content-length", "content-encoding", "expect"})
_ANSWER_REWRITTEN = frozenset({"content-length", "content-type", "date"})


def request_headers(headers: Mapping[str, str], certified: bool) -> Headers:
    """What goes upstream of a request's headers (names in lower case)."""
    dropped = _HOP_BY_HOP | _REWRITTEN | _named(headers)
    if certified:
        dropped |= {"authorization"}
    return tuple((name, value) for name, value in headers.items() if name not in dropped)


def answer_headers(headers: Mapping[str, str]) -> Headers:
    """What goes back of an answer's headers, without those the server writes itself."""
    dropped = _HOP_BY_HOP | _ANSWER_REWRITTEN | _named(headers)
    return tuple((name.title(), value) for name, value in headers.items() if name not in dropped)


def target(raw: bytes) -> str:
    """Path and query to ask for upstream, of a request target in either form."""
    text = raw.decode("latin-1")
    if not text.startswith("/"):
        parts = urlsplit(text)
        text = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return text


def asks_for_leader(path: str) -> bool:
    """Does this path ask where the leader is? For a client of the connector, it is here."""
    return path.rstrip("/") in ("/redirect", "/master/redirect")


def is_foreign_page(headers: Mapping[str, str]) -> bool:
    """Was this sent by a web page? None of ours is served over plaintext."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).hostname not in ("localhost", "127.0.0.1", "::1")


def _named(headers: Mapping[str, str]) -> frozenset[str]:
    value = headers.get("connection")
    if not value:
        return frozenset()
    return frozenset(word.strip().lower() for word in value.split(","))
