"""A small blocking HTTP/1.1 client over TLS, cheap enough to load a server with.

It knows what our servers answer: a Content-Length, or chunks for streams and long pages.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mesos_twisted.local.layout import Layout


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """One kept connection with the certificate of `identity`."""

    def __init__(self, host: str, port: int, layout: Layout, identity: str) -> None:
        context = ssl.create_default_context(cafile=str(layout.ca))
        context.load_cert_chain(layout.cert(identity), layout.key(identity))
        plain = socket.create_connection((host, port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=host)
        self.host = f"{host}:{port}"
        self._buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def wire(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> bytes:
        """A request as bytes, to be sent many times."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        keep: bool = True,
    ) -> Answer:
        """One request and its whole answer; `keep` False drops the body as it comes."""
        self.socket.sendall(self.wire(method, path, body, headers))
        status, fields = self.head()
        pieces, size = [], 0
        for piece in self.body(fields):
            size += len(piece)
            if keep:
                pieces.append(piece)
        return Answer(status, fields | {"x-size": str(size)}, b"".join(pieces))

    def head(self) -> tuple[int, dict[str, str]]:
        """The next answer's status and headers."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return int(lines[0].split()[1]), fields

    def body(self, fields: dict[str, str]) -> Iterator[bytes]:
        """The pieces of the body that follows `head`; an open stream ends only with its peer."""
        if fields.get("transfer-encoding") != "chunked":
            yield self._exactly(int(fields.get("content-length", "0")))
            return
        while True:
            while b"\r\n" not in self._buffer:
                self._more()
            size, _, self._buffer = self._buffer.partition(b"\r\n")
            piece = self._exactly(int(size, 16) + 2)[:-2]
            if not piece:
                return
            yield piece

    def _exactly(self, size: int) -> bytes:
        if len(self._buffer) < size:
            pieces, have = [self._buffer], len(self._buffer)
            while have < size:
                piece = self.socket.recv(min(1 << 18, max(1 << 14, size - have)))
                if not piece:
                    raise ConnectionError("The server closed the connection")
                pieces.append(piece)
                have += len(piece)
            self._buffer = b"".join(pieces)
        out, self._buffer = self._buffer[:size], self._buffer[size:]
        return out

    def _more(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("The server closed the connection")
        self._buffer += data
