"""The agent's connection to the launcher: finds it or starts it, and matches answers to requests.

When the connection breaks it connects again, and starts a launcher when none is left; every request
in flight then fails with `UnavailableError`, and whoever made it asks what became of it. What the
requests mean is not known here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IReactorProcess, IReactorUNIX
from twisted.internet.protocol import ClientFactory, ProcessProtocol, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.containerizer.zygote import protocol
from mesos_twisted.containerizer.zygote_messages import (
    Entry,
    ExitListener,
    Fields,
    LaunchFailedError,
    read_entry,
    read_rusage,
)
from mesos_twisted.descriptors import limited, soft_limit
from mesos_twisted.errors import MalformedError, RefusedError, UnavailableError

_log = Logger()
_TRIES = 20
_RETRY_S = 0.05
_START_EVERY = 4
_AGAIN_S = 2.0


class _Wire(Protocol):
    """One connection to the launcher."""

    def __init__(self, client: ZygoteConnection) -> None:
        self._client = client
        self._decoder = protocol.FrameDecoder()

    def connectionMade(self) -> None:
        self._client._connected(self)

    def dataReceived(self, data: bytes) -> None:
        try:
            frames = self._decoder.feed(data)
        except MalformedError as problem:
            _log.error("launcher connection closed: {problem}", problem=str(problem))
            if self.transport is not None:
                self.transport.loseConnection()
            return
        for fields in frames:
            self._client._received(fields)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._client._disconnected(self, reason)

    def send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)


class _WireFactory(ClientFactory):
    noisy = False

    def __init__(self, client: ZygoteConnection) -> None:
        self._client = client

    def buildProtocol(self, addr: object) -> _Wire:
        return _Wire(self._client)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._client._unreachable(reason)


class _Starter(ProcessProtocol):
    """The launcher's foreground process: it ends once the launcher listens."""

    def __init__(self, done: Callable[[str | None], None]) -> None:
        self._done, self._said = done, b""

    def errReceived(self, data: bytes) -> None:
        self._said = (self._said + data)[:500]

    def processEnded(self, reason: Failure) -> None:
        said = self._said.decode(errors="replace").strip()
        self._done(None if reason.check(ProcessDone) else said or reason.getErrorMessage())


class ZygoteConnection:
    """To the launcher of one runtime directory; `unix` and `processes` are the reactor.

    `command` starts a launcher (see `zygote.build.command`), with the soft limit of descriptors
    that this process has now, since tasks inherit it; `idle_s` is how long it stays when no agent
    is connected and no task lives. Without a command none is started here: the service manager
    does it when its socket is connected to.
    """

    def __init__(
        self,
        unix: IReactorUNIX,
        processes: IReactorProcess,
        timers: Timers,
        runtime_dir: Path,
        command: Sequence[str],
        on_exit: ExitListener,
        *,
        on_reconnected: Callable[[], object] = lambda: None,
        idle_s: int = 3600,
    ) -> None:
        self._unix, self._processes, self._timers = unix, processes, timers
        self._command, self._idle_s = tuple(command), idle_s
        self._descriptors = soft_limit()
        self._dir = runtime_dir
        self._socket = str(runtime_dir / protocol.SOCKET_NAME)
        self._on_exit, self._on_reconnected = on_exit, on_reconnected
        self._wire: _Wire | None = None
        self._connecting: list[Deferred[None]] | None = None
        self._waiting: dict[bytes, Deferred[Fields]] = {}
        self._entries: dict[bytes, list[Entry]] = {}
        self._retry: Timer | None = None
        self._number = 0
        self._tries = 0
        self._closed = self._was_connected = False
        self._last_problem = ""
        self.pid = 0

    # -- connection
    @property
    def connected(self) -> bool:
        """A launcher answers."""
        return self._wire is not None and self._connecting is None

    def connect(self) -> Deferred[None]:
        """Fires once a launcher answers, started when there was none; `UnavailableError` else."""
        if self._wire is not None and self._connecting is None:
            return succeed(None)
        result: Deferred[None] = Deferred()
        if self._connecting is not None:
            self._connecting.append(result)
            return result
        problem = self._prepare_directory()
        if problem is not None:
            return fail(UnavailableError(problem))
        self._connecting, self._closed = [result], False
        self._tries, self._last_problem = 0, ""
        self._attempt()
        return result

    def _prepare_directory(self) -> str | None:
        if len(os.fsencode(self._socket)) > protocol.MAX_SOCKET_PATH:
            return (
                f"The launcher's socket path {self._socket} is longer than "
                f"{protocol.MAX_SOCKET_PATH} bytes: choose a shorter runtime directory."
            )
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            seen = self._dir.stat()
        except OSError as problem:
            return f"The runtime directory {self._dir} cannot be made: {problem.strerror}."
        if seen.st_uid not in (0, os.geteuid()) or stat.S_IMODE(seen.st_mode) & 0o022:
            return (
                f"The runtime directory {self._dir} can be written by others: give it to the "
                "agent's user with mode 0700."
            )
        return None

    def _attempt(self) -> None:
        self._unix.connectUNIX(self._socket, _WireFactory(self), 5, False)

    def _unreachable(self, reason: Failure) -> None:
        self._tries += 1
        self._last_problem = self._last_problem or reason.getErrorMessage()
        if self._closed or self._tries > _TRIES:
            self._give_up(self._last_problem)
        elif not self._command or self._tries % _START_EVERY != 1:
            self._retry = self._timers.after(_RETRY_S, self._attempt)
        else:
            journal = str(self._dir / protocol.JOURNAL_NAME)
            words = [*self._command, self._socket, journal, str(self._idle_s)]
            arguments = limited(words, self._descriptors)
            self._processes.spawnProcess(
                _Starter(self._launcher_started), arguments[0], arguments, env={}, path="/"
            )

    def _launcher_started(self, problem: str | None) -> None:
        if problem is not None:
            self._give_up(problem)
        else:
            self._last_problem = ""
            self._attempt()

    def _give_up(self, problem: str) -> None:
        waiting, self._connecting = self._connecting or [], None
        if self._command:
            sentence = (
                f"The task launcher {self._command[0]} at {self._socket} cannot be reached or "
                f"started: {problem}."
            )
        else:
            sentence = (
                f"No task launcher answers at {self._socket}: {problem}. The service manager "
                "listens there for it: start mesos-twisted-launcher.socket, or let the agent start "
                "one itself with --launcher_start=own."
            )
        for deferred in waiting:
            deferred.errback(UnavailableError(sentence))

    def _connected(self, wire: _Wire) -> None:
        self._wire = wire
        self._request(b"HELLO").addCallbacks(self._greeted, self._not_greeted)

    def _greeted(self, fields: Fields) -> None:
        if not protocol.OLDEST <= int(fields[2]) <= protocol.VERSION:
            self._hang_up()
            self._give_up(
                f"it speaks version {int(fields[2])} of the protocol, this agent "
                f"{protocol.VERSION}: drain the agent's tasks before this upgrade"
            )
            return
        self.pid = int(fields[3])
        waiting, self._connecting = self._connecting or [], None
        again, self._was_connected = self._was_connected, True
        for deferred in waiting:
            deferred.callback(None)
        if again:
            self._on_reconnected()

    def _not_greeted(self, reason: Failure) -> None:
        self._unreachable(reason)  # it was just ending: the next attempt starts another

    def _disconnected(self, wire: _Wire, reason: Failure) -> None:
        if wire is not self._wire:
            return
        self._wire = None
        waiting, self._waiting = self._waiting, {}
        self._entries.clear()
        for deferred in waiting.values():
            deferred.errback(
                UnavailableError(f"The connection to the task launcher at {self._socket} was lost.")
            )
        if not self._closed and self._connecting is None:
            _log.warn("launcher connection lost, connecting again: {why}", why=reason.value)
            self._connect_again()

    def _connect_again(self) -> None:
        """Until it succeeds or this client is closed: tasks cannot start without a launcher."""
        self._retry = None
        if not self._closed:
            self.connect().addErrback(self._still_unreachable)

    def _still_unreachable(self, reason: Failure) -> None:
        _log.error("{problem}", problem=reason.getErrorMessage())
        if not self._closed:
            self._retry = self._timers.after(_AGAIN_S, self._connect_again)

    def close(self) -> None:
        """The connection is dropped and not made again; launcher and tasks live on."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._wire is not None and self._wire.transport is not None:
            self._closed = True
            self._wire.transport.loseConnection()

    # -- requests
    def _next(self) -> tuple[bytes, Deferred[Fields]]:
        self._number += 1
        number = b"%d" % self._number
        answer: Deferred[Fields] = Deferred()
        self._waiting[number] = answer
        return number, answer

    def _unavailable(self) -> Deferred[Fields]:
        return fail(
            UnavailableError(
                f"The task launcher at {self._socket} is not connected; try again in a moment."
            )
        )

    def _request(self, kind: bytes, *fields: bytes) -> Deferred[Fields]:
        if self._wire is None:
            return self._unavailable()
        number, answer = self._next()
        self._wire.send(protocol.frame((kind, number, *fields)))
        return answer

    def _received(self, fields: Fields) -> None:
        kind = fields[0]
        if kind == b"EXITED":
            self._on_exit(fields[2].decode(), int(fields[3]), read_rusage(fields[4:7]))
        elif kind == b"ENTRY":
            self._entries.setdefault(fields[1], []).append(read_entry(fields))
        else:
            waiting = self._waiting.pop(fields[1], None)
            if waiting is None:
                return
            if kind == b"FAILED":
                failed = LaunchFailedError(fields[2].decode(), int(fields[3]), fields[4].decode())
                waiting.errback(failed)
            elif kind == b"REFUSED":
                waiting.errback(RefusedError(f"The task launcher refused: {fields[2].decode()}."))
            else:
                waiting.callback(fields)
