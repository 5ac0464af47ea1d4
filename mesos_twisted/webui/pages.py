"""Serves the state page: a few static files under a policy that lets nothing else in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from typing import Final

from mesos_twisted.transport.messages import Request, Response, text_response

_SCRIPT: Final = "text/javascript; charset=utf-8"
_FILES: Final = {
    "index.html": "text/html; charset=utf-8",
    "state.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("state.js", "views.js", "logs.js", "dom.js", "format.js", "api.js"), _SCRIPT),
}
_HEADERS: Final = (
    (
        "Content-Security-Policy",
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)


@cache
def _content(name: str) -> bytes:
    return resources.files("mesos_twisted.webui").joinpath("static", name).read_bytes()


def index(request: Request) -> Response:
    """The page itself; it holds no data."""
    return _serve("index.html", request)


def routes() -> dict[str, Callable[[Request], Response]]:
    """The files beside it."""
    return {f"/static/{name}": partial(_serve, name) for name in _FILES if name != "index.html"}


def _serve(name: str, request: Request) -> Response:
    if request.method != "GET":
        return text_response(405, "Only GET is answered here.", (("Allow", "GET"),))
    return Response(200, _content(name), _FILES[name], _HEADERS)
