"""The loopback listener for executors without TLS, on the port it had before whenever possible.

Running executors know the port from their environment, so it is written down. Only the executor API
is served there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.logger import Logger

from mesos_twisted.agent.net.executor_api import PATH, ExecutorApi
from mesos_twisted.agent.net.operator_api import canonical
from mesos_twisted.errors import UnavailableError
from mesos_twisted.security.net.files import write_private
from mesos_twisted.transport.http1_server import HttpServer
from mesos_twisted.transport.listen import Listener, listen_plain
from mesos_twisted.transport.messages import Request, Response, StreamResponse, text_response

_log = Logger()
_FILE = "executor-port"
HOST = "127.0.0.1"


class ExecutorEndpoint:
    """`listen` before the state exists (its port goes into the policy), `serve` after."""

    def __init__(self) -> None:
        self._api: ExecutorApi | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return 0 if self._listener is None else self._listener.port_number

    @property
    def listener(self) -> Listener | None:
        """For stopping."""
        return self._listener

    def serve(self, api: ExecutorApi) -> None:
        """Requests are answered from now on."""
        self._api = api

    def handle(self, request: Request) -> Response | StreamResponse:
        """The answer to a request on loopback."""
        if canonical(request.path) != PATH:
            return text_response(404, "Only the executor API is served on this port.\n")
        if self._api is None:
            return text_response(503, "Agent has not finished recovery")
        return self._api.request(request, self.port)

    def listen(self, reactor: Any, server: HttpServer, wanted: int, meta_dir: str) -> None:
        """Listen on `wanted`, or when that is 0 on the port of before, or on a free one.

        Raises UnavailableError when a wanted port is taken.
        """
        path = Path(meta_dir, _FILE)
        before = 0 if wanted else _read(path)
        try:
            self._listener = listen_plain(reactor, HOST, wanted or before, server)
        except UnavailableError as error:
            if wanted or not before:
                raise
            _log.error(
                "The executors' port is lost, and executors that run cannot come back: {reason}",
                reason=str(error),
            )
            self._listener = listen_plain(reactor, HOST, 0, server)
        if self.port != before:
            write_private(path, f"{self.port}\n".encode())


def _read(path: Path) -> int:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    return int(text) if text.isdecimal() and int(text) < 65536 else 0
