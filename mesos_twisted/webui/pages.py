"""Serves the state page: a few static files under a policy that lets nothing else in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources

from mesos_twisted.transport.messages import Request, Response, text_response

_FILES = {
    "index.html": "text/html; charset=utf-8",
    "state.js": "text/javascript; charset=utf-8",
    "state.css": "text/css; charset=utf-8",
}
_HEADERS = (
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
)


@cache
def _content(name: str) -> bytes:
    return resources.files("mesos_twisted.webui").joinpath("static", name).read_bytes()


def index(request: Request) -> Response:
    """The page itself; it holds no data, so anyone may have it."""
    return _serve(request, "index.html")


def routes() -> dict[str, Callable[[Request], Response]]:
    """The files beside it."""
    return {
        "/static/state.js": lambda request: _serve(request, "state.js"),
        "/static/state.css": lambda request: _serve(request, "state.css"),
    }


def _serve(request: Request, name: str) -> Response:
    if request.method != "GET":
        return text_response(405, "Only GET is answered here.", (("Allow", "GET"),))
    return Response(200, _content(name), _FILES[name], _HEADERS)
