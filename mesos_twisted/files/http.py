"""`/files/browse`, `/files/read`, `/files/download` and `/files/debug` over a `FileStore`.

Who asks is settled by the caller. What a task wrote is handed out so that no browser runs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from mesos_twisted.errors import Problem
from mesos_twisted.files import listing
from mesos_twisted.files.store import FileStore
from mesos_twisted.protocol.codec_json import ascii_only
from mesos_twisted.security.core.principal import Principal
from mesos_twisted.transport.messages import (
    ChunkedBody,
    Headers,
    Request,
    Response,
    text_response,
)

JSON = "application/json"
_STATUS = {"invalid": 400, "not-found": 404, "forbidden": 403}
_CALLBACK = re.compile(r"[A-Za-z_$][\w$.\[\]]{0,127}", re.ASCII)
_PIECE_BYTES = 64 * 1024
#: A sandbox is a stranger's content on our origin: never shown, never sniffed, never scripted.
_UNTRUSTED = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
)


def json_response(body: bytes, request: Request) -> Response:
    """JSON as it is, or wrapped in the function that `jsonp=` names (a plain name only)."""
    callback = request.args().get("jsonp", [""])[0] if "jsonp" in request.query else ""
    if not callback:
        return Response(200, body, JSON)
    if _CALLBACK.fullmatch(callback) is None:
        return text_response(400, "The jsonp parameter must be the name of a function.\n")
    return Response(
        200,
        callback.encode() + b"(" + body + b")",
        "text/javascript",
        (("X-Content-Type-Options", "nosniff"),),
    )


def to_json(value: object) -> bytes:
    """Plain values as ASCII JSON."""
    out = msgspec.json.encode(value)
    return out if out.isascii() else ascii_only(out)


class FilesApi:
    """Answers requests below `/files/`."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    def handle(self, page: str, request: Request, principal: Principal) -> Response | ChunkedBody:
        """The answer to `/files/<page>`."""
        if request.method != "GET":
            return text_response(
                405,
                f"Expecting one of {{ 'GET' }}, but received '{request.method}'",
                (("Allow", "GET"),),
            )
        if page == "debug":
            return json_response(to_json(self._store.attached()), request)
        path = request.args().get("path", [""])[0]
        if not path:
            return text_response(400, "Expecting 'path=value' in query.\n")
        if page == "browse":
            return self._browse(path, request, principal)
        if page == "read":
            return self._read(path, request, principal)
        if page == "download":
            return self._download(path, principal)
        return text_response(404, "Files are at /files/browse, /files/read and /files/download.\n")

    def _browse(self, path: str, request: Request, principal: Principal) -> Response:
        found = self._store.browse(path, principal)
        if isinstance(found, Problem):
            return _refused(found)
        return json_response(to_json([listing.to_json(entry) for entry in found]), request)

    def _read(self, path: str, request: Request, principal: Principal) -> Response:
        args = request.args()
        offset = _number("offset", args, -1)
        if isinstance(offset, Response):
            return offset
        length = _number("length", args, -1)
        if isinstance(length, Response):
            return length
        # Without an offset, as with -1, only the size is asked for.
        wanted = 0 if offset == -1 else None if length == -1 else length
        found = self._store.read(path, max(offset, 0), wanted, principal)
        if isinstance(found, Problem):
            return _refused(found)
        size, data = found
        text = data.decode("utf-8", "replace")
        return json_response(
            to_json({"data": text, "offset": size if offset == -1 else offset}), request
        )

    def _download(self, path: str, principal: Principal) -> Response | ChunkedBody:
        fd = self._store.open_file(path, principal)
        if isinstance(fd, Problem):
            return _refused(fd)
        return ChunkedBody(200, _Pieces(fd), "application/octet-stream", as_attachment(path))


def as_attachment(path: str) -> Headers:
    """The headers under which a browser saves a stranger's file and never shows it."""
    name = path.rstrip("/").rpartition("/")[2] or "file"
    plain = re.sub(r"[^\w. ()+-]", "_", name, flags=re.ASCII)
    quoted = quote(name, safe="", errors="replace")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"
    return (("Content-Disposition", disposition), *_UNTRUSTED)


class _Pieces:
    """The file as it was long when asked for; the descriptor is closed with the last piece, or
    with this object when the peer goes away."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._left = os.fstat(fd).st_size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = os.read(self._fd, min(_PIECE_BYTES, self._left)) if self._fd >= 0 else b""
        if not data:
            self._close()
            raise StopIteration
        self._left -= len(data)
        return data

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self._close()


def _refused(problem: Problem) -> Response:
    return text_response(_STATUS[problem.code], problem.sentence)


def _number(name: str, args: dict[str, list[str]], default: int) -> int | Response:
    text = args.get(name, [""])[0]
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        return text_response(400, f"Failed to parse {name}: '{text[:40]}' is not a number.\n")
    if value < -1:
        return text_response(400, f"Negative {name} provided: {value}.\n")
    if value >= 1 << 63:
        return text_response(400, f"Failed to parse {name}: '{text[:40]}' is too large.\n")
    return value
