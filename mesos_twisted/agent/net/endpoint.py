"""The listeners for executors without TLS: on loopback, and where asked for on a Unix socket.

Running executors know the port from their environment, so it is written down and used again
whenever possible. Anybody on the host may connect; who is listened to is the API's affair. Only the
executor API is served here.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from mesos_twisted.agent.net.executor_api import PATH, ExecutorApi
from mesos_twisted.agent.net.operator_api import canonical
from mesos_twisted.agent.net.peer_process import caller_of
from mesos_twisted.errors import UnavailableError
from mesos_twisted.security.net.files import write_private
from mesos_twisted.transport.http1_connection import HttpConnection
from mesos_twisted.transport.http1_server import HttpServer
from mesos_twisted.transport.listen import Listener, listen_plain
from mesos_twisted.transport.messages import Request, Response, StreamResponse, text_response

_log = Logger()
_FILE = "executor-port"
HOST = "127.0.0.1"
#: How the transport names the peer of a Unix socket.
UNIX = "unix"


class UnixServer(HttpServer):
    """Notes of each connection who made it."""

    def opened(self, connection: HttpConnection) -> None:
        """Its peer's identity is a `Caller`; one that is gone already is cut."""
        super().opened(connection)
        transport: Any = connection.transport
        caller = caller_of(transport.getHandle())
        if caller is None:
            connection.abort()
        else:
            connection.peer.identity = caller


class _UnixListener(Listener):
    def __init__(self, port: IListeningPort, server: UnixServer, path: str) -> None:
        super().__init__(port, server)
        self._path = path

    def stop_listening(self) -> Deferred[Any]:
        # Twisted deletes the socket, and never says that it stopped when it is not there any more.
        if not os.path.lexists(self._path):
            Path(self._path).touch()
        return super().stop_listening()


class ExecutorEndpoint:
    """`listen` before the state exists (its port goes into the policy), `serve` after."""

    def __init__(self) -> None:
        self._api: ExecutorApi | None = None
        self._listener: Listener | None = None
        self._unix: Listener | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return 0 if self._listener is None else self._listener.port_number

    @property
    def listeners(self) -> list[Listener]:
        """For stopping."""
        return [one for one in (self._listener, self._unix) if one is not None]

    def serve(self, api: ExecutorApi) -> None:
        """Requests are answered from now on."""
        self._api = api

    def handle(self, request: Request) -> Response | StreamResponse:
        """The answer to a request of this host."""
        if canonical(request.path) != PATH:
            return text_response(404, "Only the executor API is served here.\n")
        if self._api is None:
            return text_response(503, "Agent has not finished recovery")
        on_unix = request.peer.address == UNIX
        return self._api.request(request, None if on_unix else self.port)

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

    def listen_unix(self, reactor: Any, server: UnixServer, path: str) -> None:
        """Listen on a socket that every user may connect to; one left over there is replaced.

        Its directory is made where it is missing, and other users may pass through it. Raises
        UnavailableError.
        """
        try:
            _make_way(path)
            port = reactor.listenUNIX(path, server, backlog=1024, mode=0o666)
        except (OSError, CannotListenError) as error:
            reason = error.socketError if isinstance(error, CannotListenError) else error
            words = getattr(reason, "strerror", None) or str(reason)
            raise UnavailableError(
                f"The executors' socket {path} cannot be made: {words}; "
                "set --domain_socket_location"
            ) from None
        self._unix = _UnixListener(port, server, path)


def _make_way(path: str) -> None:
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o711, exist_ok=True)
    found = os.stat(directory)
    if found.st_uid == os.geteuid() and found.st_mode & 0o011 != 0o011:
        # Tasks run as other users, and need not be able to look around in it.
        os.chmod(directory, stat.S_IMODE(found.st_mode) | 0o011)
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(0, "something else than a socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == 0:
            raise OSError(0, "another process listens there")
    os.unlink(path)


def _read(path: Path) -> int:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    return int(text) if text.isdecimal() and int(text) < 65536 else 0
