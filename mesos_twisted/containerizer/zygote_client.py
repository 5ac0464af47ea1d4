"""The agent's side of the launcher: finds it or starts it, and speaks its protocol.

It carries requests and answers, and refuses to know isolators or states of containers. Requests
made in one reactor turn leave in one write. When the connection breaks it connects again, and
starts a launcher when none is left; every request in flight then fails with `UnavailableError`,
and whoever made it asks `list_all()` what became of it. `on_exit` may tell of one exit twice.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IReactorProcess, IReactorUNIX
from twisted.internet.protocol import ClientFactory, ProcessProtocol, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.containerizer.core.container import Identity, Rlimit, Scope
from mesos_twisted.containerizer.zygote import protocol
from mesos_twisted.descriptors import limited, soft_limit
from mesos_twisted.errors import MalformedError, MesosError, RefusedError, UnavailableError

_log = Logger()
_TRIES = 20
_RETRY_S = 0.05
_START_EVERY = 4
_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One process to start; empty paths and None as in `zygote.protocol`."""

    container_id: str
    file: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    stdout: str = ""
    stderr: str = ""
    identity: Identity | None = None
    rlimits: tuple[Rlimit, ...] = ()
    umask: int = 0o022
    nice: int | None = None
    no_new_privileges: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The process of a container; pid and start (clock ticks since boot) name it for ever."""

    container_id: str
    pid: int
    start_ticks: int


class LaunchFailedError(RefusedError):
    """The process could not be started; nothing of it is left."""

    def __init__(self, container_id: str, number: int, stage: str) -> None:
        super().__init__(
            f"The process of container {container_id} could not be started: "
            f"{stage} failed with '{os.strerror(number)}'."
        )
        self.container_id, self.errno, self.stage = container_id, number, stage


@dataclass(frozen=True, slots=True)
class Rusage:
    """What the first process and its waited-for children used."""

    user_us: int = 0
    system_us: int = 0
    max_rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What the launcher remembers of one container; states as in `zygote.protocol`."""

    container_id: str
    state: str
    pid: int
    start_ticks: int
    status: int
    stage: str
    rusage: Rusage


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """The sum over all live processes of a container."""

    user_us: int
    system_us: int
    rss_bytes: int
    processes: int
    threads: int


#: Called with container id, wait status (-1 when nobody could see it) and use of resources.
ExitListener = Callable[[str, int, Rusage], None]
_Fields = list[bytes]


def encode_launch(number: int, request: LaunchRequest) -> bytes:
    """The LAUNCH frame; raises `MalformedError` where a text cannot be passed to a process."""
    r, who = request, request.identity
    fields = [
        b"LAUNCH",
        b"%d" % number,
        *(os.fsencode(t) for t in (r.container_id, r.file, r.cwd, r.stdout, r.stderr)),
        b"%d" % who.uid if who else b"",
        b"%d" % who.gid if who else b"",
        b",".join(b"%d" % g for g in who.groups) if who else b"",
        b"%o" % r.umask,
        b"" if r.nice is None else b"%d" % r.nice,
        b",".join(b"%d:%d:%d" % (x.resource, x.soft, x.hard) for x in r.rlimits),
        b"no_new_privs" if r.no_new_privileges else b"",
        b"%d" % len(r.argv),
        *(os.fsencode(a) for a in r.argv),
        *(os.fsencode(k) + b"=" + os.fsencode(v) for k, v in r.env),
    ]
    data = protocol.frame(fields)
    if data.count(b"\0", 4) != len(fields):
        raise MalformedError(
            f"Container {r.container_id} cannot be launched: an argument, a path or a variable "
            "of its environment holds a NUL."
        )
    return data


class _Wire(Protocol):
    """One connection to the launcher."""

    def __init__(self, client: ZygoteClient) -> None:
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

    def __init__(self, client: ZygoteClient) -> None:
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


class ZygoteClient:
    """Speaks to the launcher of one runtime directory; `unix` and `processes` are the reactor.

    `command` starts a launcher (see `zygote.build.command`), with the soft limit of descriptors
    that this process has now, since tasks inherit it; `idle_s` is how long it stays when no agent
    is connected and no task lives.
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
        self._waiting: dict[bytes, Deferred[_Fields]] = {}
        self._entries: dict[bytes, list[Entry]] = {}
        self._retry: Timer | None = None
        self._number = 0
        self._tries = 0
        self._closed = self._was_connected = False
        self._last_problem = ""
        self.pid = 0

    # -- connection
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
        elif self._tries % _START_EVERY != 1:
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
        for deferred in waiting:
            deferred.errback(
                UnavailableError(
                    f"The task launcher {self._command[0]} at {self._socket} cannot be reached or "
                    f"started: {problem}."
                )
            )

    def _connected(self, wire: _Wire) -> None:
        self._wire = wire
        self._request(b"HELLO").addCallbacks(self._greeted, self._not_greeted)

    def _greeted(self, fields: _Fields) -> None:
        if int(fields[2]) != protocol.VERSION:
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
    def _next(self) -> tuple[bytes, Deferred[_Fields]]:
        self._number += 1
        number = b"%d" % self._number
        answer: Deferred[_Fields] = Deferred()
        self._waiting[number] = answer
        return number, answer

    def _unavailable(self) -> Deferred[_Fields]:
        return fail(
            UnavailableError(
                f"The task launcher at {self._socket} is not connected; try again in a moment."
            )
        )

    def _request(self, kind: bytes, *fields: bytes) -> Deferred[_Fields]:
        if self._wire is None:
            return self._unavailable()
        number, answer = self._next()
        self._wire.send(protocol.frame((kind, number, *fields)))
        return answer

    def launch(self, request: LaunchRequest) -> Deferred[Started]:
        """Fires once the process has exec'ed, or with `LaunchFailedError`.

        Launching a known id again answers its first outcome; ask once per id and connection.
        """
        if self._wire is None:
            return self._unavailable()  # type: ignore[return-value]  # it only ever fails
        try:
            data = encode_launch(self._number + 1, request)
        except MesosError as problem:
            return fail(problem)
        _, answer = self._next()
        self._wire.send(data)
        return answer.addCallback(_started)

    def signal(self, container_id: str, signo: int, scope: Scope) -> Deferred[int]:
        """Fires with how many processes or groups took the signal; 0 when none was there."""
        fields = (container_id.encode(), b"%d" % signo, scope.value.encode())
        return self._request(b"SIGNAL", *fields).addCallback(lambda f: int(f[3]))

    def destroy(self, container_id: str) -> Deferred[None]:
        """Fires when no process of the container is left; true of unknown containers too."""
        return self._request(b"DESTROY", container_id.encode()).addCallback(_nothing)

    def forget(self, container_id: str) -> Deferred[None]:
        """The launcher no longer remembers the ended container; `RefusedError` for a live one."""
        return self._request(b"FORGET", container_id.encode()).addCallback(_nothing)

    def usage(self, container_id: str) -> Deferred[TreeUsage]:
        """Fires with the sums over the live processes; all of one turn cost one look at /proc."""
        return self._request(b"USAGE", container_id.encode()).addCallback(
            lambda f: TreeUsage(*(int(x) for x in f[3:8]))
        )

    def list_all(self) -> Deferred[list[Entry]]:
        """Fires with everything the launcher remembers."""
        return self._request(b"LIST").addCallback(self._listed)

    def _listed(self, fields: _Fields) -> list[Entry]:
        return self._entries.pop(fields[1], [])

    def stats(self) -> Deferred[dict[str, int]]:
        """Fires with the launcher's own counters by name."""
        return self._request(b"STATS").addCallback(
            lambda f: {f[i].decode(): int(f[i + 1]) for i in range(2, len(f) - 1, 2)}
        )

    def ping(self) -> Deferred[None]:
        """Fires when the launcher answers."""
        return self._request(b"PING").addCallback(_nothing)

    def shutdown(self, *, force: bool = False) -> Deferred[None]:
        """The launcher ends; refused while tasks live, unless forced (they then live on)."""
        self._closed = True
        return self._request(b"SHUTDOWN", *([b"force"] if force else [])).addCallbacks(
            _nothing, self._still_needed
        )

    def _still_needed(self, reason: Failure) -> Failure:
        self._closed = self._wire is None
        return reason

    def _received(self, fields: _Fields) -> None:
        kind = fields[0]
        if kind == b"EXITED":
            self._on_exit(fields[2].decode(), int(fields[3]), _rusage(fields[4:7]))
        elif kind == b"ENTRY":
            self._entries.setdefault(fields[1], []).append(_entry(fields))
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


def _started(fields: _Fields) -> Started:
    return Started(fields[2].decode(), int(fields[3]), int(fields[4]))


def _nothing(fields: _Fields) -> None:
    return None


def _rusage(fields: _Fields) -> Rusage:
    user, system, kilobytes = (int(x) for x in fields)
    return Rusage(user, system, kilobytes * 1024)


def _entry(f: _Fields) -> Entry:
    return Entry(
        f[2].decode(), f[3].decode(), int(f[4]), int(f[5]), int(f[6]), f[7].decode(), _rusage(f[8:])
    )
