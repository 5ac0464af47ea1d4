"""Fetch a container's URIs into its sandbox, each in a process of the task's own user.

The process is `fetch_main`: it gets its job on standard input and is killed when it stalls, runs
too long, or the container is destroyed meanwhile. Files marked `cache` are downloaded once per user
and URI. Failures name the URI and the reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.agent.net import fetch_main
from mesos_twisted.agent.net.fetch_main import Item, Job
from mesos_twisted.agent.net.fetcher_cache import Entry, FetchCache
from mesos_twisted.agent.net.users import User
from mesos_twisted.clock import Timers
from mesos_twisted.files import walk
from mesos_twisted.protocol.generated import messages as m

_TOTAL_S = 3600.0
_OUTPUT_BYTES = 64 * 1024


class _FetchProcess(ProcessProtocol):
    """One fetching process; `done` fires with (bytes, None) or (0, what went wrong)."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._out = b""
        self._err = b""
        self.killed: str | None = None
        self.done: Deferred[tuple[int, str | None]] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(msgspec.json.encode(asdict(self._job)))
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._out = (self._out + data)[:_OUTPUT_BYTES]

    def errReceived(self, data: bytes) -> None:
        self._err = (self._err + data)[-_OUTPUT_BYTES:]

    def kill(self, reason: str) -> None:
        """End it; `reason` is what its failure says."""
        self.killed = reason
        if self.transport is not None:
            with contextlib.suppress(ProcessExitedAlready):
                self.transport.signalProcess("KILL")

    def processEnded(self, reason: Failure) -> None:
        self.done.callback(self._outcome())

    def _outcome(self) -> tuple[int, str | None]:
        if self.killed is not None:
            return 0, self.killed
        try:
            told: dict[str, Any] = msgspec.json.decode(self._out)
        except msgspec.DecodeError:
            last = self._err.decode("utf-8", "replace").strip().rpartition("\n")[2]
            return 0, f"The fetching process failed: {last or 'it said nothing'}"
        if "error" in told:
            uri = f"'{told['uri']}': " if told.get("uri") else ""
            return 0, f"{uri}{told['error']}"
        return int(told["bytes"]), None


class Fetcher:
    """`fetch` fills a sandbox; `cancel` ends what it began for a container."""

    log = Logger()

    def __init__(
        self,
        processes: IReactorProcess,
        timers: Timers,
        cache: FetchCache,
        stall_s: float,
        count: Callable[[str, int], None],
    ) -> None:
        self._processes = processes
        self._timers = timers
        self._cache = cache
        self._stall_s = stall_s
        self._count = count
        self._running: dict[str, set[_FetchProcess]] = {}

    @property
    def cache(self) -> FetchCache:
        """What is cached."""
        return self._cache

    def start(self) -> None:
        """The cache's directory is there and empty. Raises OSError."""
        directory = self._cache.directory
        os.makedirs(directory, mode=0o711, exist_ok=True)
        fd = walk.open_root(directory)
        try:
            for name in os.listdir(fd):
                walk.remove_tree(fd, name)
        finally:
            os.close(fd)

    async def fetch(
        self, container_id: str, directory: str, command: m.CommandInfo, user: User | None
    ) -> str | None:
        """None when every URI is in `directory` (absolute), else one sentence saying which is not
        and why."""
        if not command.uris:
            return None
        pinned: list[Entry] = []
        try:
            problem = await self._all(container_id, directory, command, user, pinned)
        finally:
            for entry in pinned:
                self._drop(self._cache.unpin(entry))
        if problem is None:
            self._count("containerizer/fetcher/task_fetches_succeeded", 1)
            return None
        self._count("containerizer/fetcher/task_fetches_failed", 1)
        return f"Failed to fetch all URIs for container '{container_id}': {problem}"

    def cancel(self, container_id: str) -> None:
        """Whatever is fetched for the container ends with a failure."""
        for process in tuple(self._running.get(container_id, ())):
            process.kill("The container was destroyed while fetching")

    async def _all(
        self,
        container_id: str,
        directory: str,
        command: m.CommandInfo,
        user: User | None,
        pinned: list[Entry],
    ) -> str | None:
        items: list[Item] = []
        for uri in command.uris:
            item = item_of(uri)
            if uri.cache:
                entry, problem = await self._cached(container_id, uri.value, user, pinned)
                if problem is not None:
                    return problem
                item = Item(**{**asdict(item), "cached": entry.path})
            items.append(item)
        _, problem = await self._run(container_id, self._job(directory, tuple(items), user))
        return problem

    async def _cached(
        self, container_id: str, uri: str, user: User | None, pinned: list[Entry]
    ) -> tuple[Entry, str | None]:
        """The entry, pinned, with its file there; or what went wrong."""
        key = (user.name if user is not None else "-", uri)
        entry = self._cache.get(key)
        if entry is not None:
            pinned.append(entry)
            if entry.complete:
                return entry, None
            waiting: Deferred[str | None] = Deferred()
            entry.waiting.append(waiting)
            return entry, await waiting
        entry = self._cache.begin(key)
        pinned.append(entry)
        problem: str | None = "The download was interrupted"
        try:
            home, _, name = entry.path.rpartition("/")
            self._user_directory(home, user)
            # Named as the URI is, so that a refused URI fails here as it would without a cache.
            item = Item(uri, extract=False, output_file=name, raw=True)
            job = self._job(home, (item,), user, self._cache.max_bytes)
            size, problem = await self._run(container_id, job)
            if problem is None:
                self._drop(self._cache.completed(entry, size))
        except OSError as error:
            problem = f"The fetcher cache cannot be used: {error.strerror} ({error.filename})"
        finally:
            if problem is not None:
                self._cache.failed(entry)
            for waiter in entry.waiting:
                waiter.callback(problem)
            entry.waiting.clear()
        return entry, problem

    def _user_directory(self, home: str, user: User | None) -> None:
        parent = walk.open_root(os.path.dirname(home))
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.basename(home), 0o700, dir_fd=parent)
                if user is not None and user.switch:
                    os.chown(
                        os.path.basename(home),
                        user.uid,
                        user.gid,
                        dir_fd=parent,
                        follow_symlinks=False,
                    )
        finally:
            os.close(parent)

    def _job(
        self, directory: str, items: tuple[Item, ...], user: User | None, max_bytes: int = 64 << 30
    ) -> Job:
        switch = user is not None and user.switch
        return Job(
            directory,
            items,
            user.uid if user is not None and switch else None,
            user.gid if user is not None and switch else None,
            user.groups if user is not None and switch else (),
            self._stall_s,
            _TOTAL_S,
            max_bytes,
        )

    async def _run(self, container_id: str, job: Job) -> tuple[int, str | None]:
        process = _FetchProcess(job)
        running = self._running.setdefault(container_id, set())
        running.add(process)
        path = fetch_main.__file__
        transport: IProcessTransport = self._processes.spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-I", "-B", path],
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            path="/",
        )
        limit = self._timers.after(_TOTAL_S + 60.0, process.kill, "It took longer than an hour")
        try:
            return await process.done
        finally:
            limit.cancel()
            running.discard(process)
            if not running:
                self._running.pop(container_id, None)
            del transport

    def _drop(self, entries: list[Entry]) -> None:
        for entry in entries:
            try:
                os.unlink(entry.path)
            except FileNotFoundError:
                pass
            except OSError as error:
                self.log.warn(
                    "Cannot delete the cached file {path}: {reason}",
                    path=entry.path,
                    reason=error.strerror,
                )


def item_of(uri: m.CommandInfoURI) -> Item:
    """The job's form of a URI."""
    return Item(
        uri.value,
        executable=bool(uri.executable),
        extract=uri.extract is not False,
        output_file=uri.output_file,
    )
