"""The registry in ZooKeeper: of a master that others can follow.

Each write is one transaction: it checks the epoch's version, which is ours until another master
leads, counts the version up from where the write before left it, and puts and deletes records. So a
deposed master can write nothing, no write happens twice, and none happens without those before it.
Writes are gathered while others are under way, and several are under way at a time.

An answer that was lost is not a failure: on the next connection the epoch and the version tell
which writes happened; the others are sent again. Whatever else goes wrong fails this write and all
later ones, and the master stops. It stops at once when the session ends: another may lead then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.errors import MesosError, UnavailableError
from mesos_twisted.registry.batch import Batcher
from mesos_twisted.registry.layout import Nodes, Operation, base_nodes, check_meta, key_of
from mesos_twisted.registry.operations import TABLES, RegistryOperation, Snapshot, snapshot
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.errors import (
    AnswerError,
    ConnectionLostError,
)
from mesos_twisted.zookeeper.net.client import TransactionError, ZooKeeperClient
from mesos_twisted.zookeeper.net.paths import make_path

T = TypeVar("T")

_log = Logger()

#: Bytes of one write, about; servers refuse what is larger than 1 MiB.
BATCH_BYTES: Final = 512 * 1024
_MAX_BYTES: Final = 1000 * 1000
#: Writes under way at a time.
DEPTH: Final = 4
#: Reads under way while loading: so many at a time, and so often.
READS: Final = 500
READERS: Final = 4


@dataclass(slots=True)
class _Write:
    version: int  # after it
    operations: list[Operation]
    waiting: list[Deferred[int]]
    lost: bool = False


class ZooKeeperRegistry:
    """Passes the registry suite. `client` is not started; its session is the registry's alone.

    `leader` names the master that loads. `contender()` gives the path of its node in the election,
    which must be there for it to take the registry over; None where nobody contends.
    """

    def __init__(
        self,
        client: ZooKeeperClient,
        path: str,
        acl: tuple[r.Acl, ...],
        leader: str,
        contender: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._client = client
        self._path = path
        self._acl = acl
        self._leader = leader.encode()
        self._contender = contender
        self._nodes = Nodes(path, acl)
        self._fence = -1
        self._sent_version = 0
        self._held_version = 0
        self._batcher: Batcher[Deferred[int]] = Batcher(BATCH_BYTES)
        self._flying: list[_Write] = []
        self._failed: UnavailableError | None = None
        self._closing: Deferred[None] | None = None
        self._started = False
        self._recovering = False
        self.size_bytes = 0
        #: Called once with a sentence when the session has ended by itself, before any write fails.
        self.lost: Callable[[str], object] = lambda sentence: None

    # Loading

    def load(self) -> Deferred[Snapshot]:
        """From now on no master that led before can write."""
        self._started = True
        self._client.listen(self._session_changed)
        self._client.start()
        return Deferred.fromCoroutine(self._load())

    async def _load(self) -> Snapshot:
        try:
            await self._again(self._prepare)
            self._fence = await self._again(self._take_over)
            version = (await self._get("version")).stat.version
            self._sent_version = self._held_version = version
            return snapshot(version, await self._read_records())
        except MesosError as error:
            self._failed = _unavailable(self._path, error)
            if isinstance(error, UnavailableError | AnswerError):
                raise self._failed from None
            raise

    async def _prepare(self) -> None:
        """The registry is there and is of our layout."""
        client, path = self._client, self._path
        await client.sync("/")
        await make_path(client, path, self._acl)
        there = (await client.children(path)).children
        missing = base_nodes(path, self._acl, there)
        if missing:
            try:
                await client.multi(missing)
            except TransactionError as error:
                if error.code != r.Code.NODE_EXISTS:
                    raise
        check_meta(path, (await self._get("meta")).data)

    async def _take_over(self) -> int:
        """The fence: the epoch's version since we wrote it."""
        await self._client.sync(self._path)
        epoch = await self._get("epoch")
        if epoch.data == self._leader:
            return epoch.stat.version  # an earlier try whose answer was lost
        node = self._contender()
        guard: list[Operation] = [] if node is None else [r.Check(node, r.ANY_VERSION)]
        try:
            results = await self._client.multi(
                [*guard, r.SetData(f"{self._path}/epoch", self._leader)]
            )
        except TransactionError as error:
            if error.code == r.Code.NO_NODE and guard and error.index == 0:
                raise UnavailableError("this master does not lead any more") from None
            raise
        written = results[-1]
        assert isinstance(written, r.Stated)
        return written.stat.version

    async def _read_records(self) -> list[tuple[str, str, bytes]]:
        """(table, key, value) of each record."""
        tables = await self._children(TABLES)
        shards = [
            f"{table}/{shard}"
            for table, below in zip(TABLES, tables, strict=True)
            for shard in below
        ]
        names = await self._children(shards)
        nodes: list[str] = []
        for shard, below in zip(shards, names, strict=True):
            table, _, number = shard.partition("/")
            self._nodes.found(table, number, below)
            nodes += [f"{shard}/{name}" for name in below]
        values = await self._pipelined(self._client.get, nodes)
        self.size_bytes = sum(len(value.data) for value in values)
        records = []
        for node, value in zip(nodes, values, strict=True):
            table, _, name = node.split("/")
            records.append((table, key_of(name), value.data))
        return records

    async def _children(self, nodes: Sequence[str]) -> list[tuple[str, ...]]:
        return [each.children for each in await self._pipelined(self._client.children, nodes)]

    async def _pipelined(self, read: Callable[[str], Deferred[T]], nodes: Sequence[str]) -> list[T]:
        """What is read of each of the nodes, in their order, many reads under way at a time."""
        results: list[T] = []
        flying: deque[Deferred[list[T]]] = deque()
        try:
            for start in range(0, len(nodes), READS):
                part = [f"{self._path}/{node}" for node in nodes[start : start + READS]]
                flying.append(Deferred.fromCoroutine(self._again(partial(self._all, read, part))))
                if len(flying) == READERS:
                    results += await flying.popleft()
            while flying:
                results += await flying.popleft()
        except MesosError:
            for each in flying:
                each.addErrback(lambda failure: None)  # they fail as the first did, which is told
            raise
        return results

    async def _all(self, read: Callable[[str], Deferred[T]], paths: list[str]) -> list[T]:
        answers: list[tuple[bool, Any]] = await DeferredList(
            [read(path) for path in paths], consumeErrors=True
        )
        for succeeded, answer in answers:
            if not succeeded:
                answer.raiseException()
        return [answer for _, answer in answers]

    async def _get(self, name: str) -> r.Data:
        return await self._again(lambda: self._client.get(f"{self._path}/{name}"))

    async def _again(
        self, read: Callable[[], Deferred[T]] | Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """What it gives, tried again when only the answer was lost."""
        while True:
            try:
                return await read()
            except ConnectionLostError:
                continue

    # Writing

    def apply(self, operations: Sequence[RegistryOperation]) -> Deferred[int]:
        """Fires once a majority of the servers has the operations on disk."""
        if self._failed is not None or self._closing is not None or self._fence < 0:
            return fail(self._failed or UnavailableError("The registry is not open"))
        done: Deferred[int] = Deferred()
        self._batcher.add(operations, done)
        self._send_next()
        return done

    def close(self) -> Deferred[None]:
        """Fires when what was asked before holds, and the session has ended."""
        if self._closing is None:
            self._closing = Deferred()
            self._shut_when_idle()
        return self._closing

    def _session_changed(self, state: SessionState, why: str) -> None:
        if state not in (SessionState.EXPIRED, SessionState.AUTH_FAILED):
            return
        if self._closing is None and self._failed is None:
            self.lost(f"The session of the registry {self._path} in ZooKeeper has ended: {why}")
            self._fail(UnavailableError(f"its session has ended: {why}"))

    def _send_next(self) -> None:
        while len(self._flying) < DEPTH and not self._recovering and self._failed is None:
            batch = self._batcher.take()
            if batch is None:
                return
            self._sent_version += 1
            operations: list[Operation] = [
                r.Check(f"{self._path}/epoch", self._fence),
                r.SetData(f"{self._path}/version", self._leader, self._sent_version - 1),
                *self._nodes.write(batch.writes),
            ]
            write = _Write(self._sent_version, operations, batch.waiting)
            self._flying.append(write)
            if batch.size > _MAX_BYTES:
                self._fail(UnavailableError(f"a write of {batch.size} bytes is too large"))
                return
            self._send(write)

    def _send(self, write: _Write) -> None:
        write.lost = False
        sent = self._client.multi(write.operations)
        sent.addCallbacks(lambda _: self._held(write), self._not_held, errbackArgs=(write,))

    def _held(self, write: _Write) -> None:
        # Answers come in order, so it is the first of them.
        if write not in self._flying:
            return
        self._flying.remove(write)
        self._held_version = write.version
        for waiting in write.waiting:
            waiting.callback(write.version)
        self._send_next()
        self._shut_when_idle()

    def _not_held(self, failure: Failure, write: _Write) -> None:
        error = failure.value
        if self._failed is not None:
            return
        if isinstance(error, ConnectionLostError):
            write.lost = True
            if not self._recovering and all(each.lost for each in self._flying):
                self._recovering = True
                done = Deferred.fromCoroutine(self._recover())
                done.addErrback(lambda failure: self._fail(_reason(failure)))
        else:
            self._fail(_reason(failure))

    async def _recover(self) -> None:
        """Which writes happened is read, and the others are sent again."""

        async def look() -> tuple[int, int]:
            await self._client.sync(self._path)
            epoch = await self._client.get(f"{self._path}/epoch")
            version = await self._client.get(f"{self._path}/version")
            return epoch.stat.version, version.stat.version

        fence, version = await self._again(look)
        if fence != self._fence:
            raise UnavailableError("another master leads")
        known = self._held_version, self._sent_version
        if not known[0] <= version <= known[1]:
            raise UnavailableError(f"it has the version {version}, not one of {known}")
        _log.info("The registry's connection is back, at version {version}", version=version)
        self._recovering = False
        flying = list(self._flying)
        for write in flying:
            if write.version > version:
                self._send(write)
        for write in flying:
            if write.version <= version:
                self._held(write)

    def _fail(self, error: BaseException) -> None:
        """Nothing is written any more; every one who waits hears why."""
        if self._failed is None:
            self._failed = _unavailable(self._path, error)
        flying, self._flying = self._flying, []
        waiting = [each for write in flying for each in write.waiting]
        while (batch := self._batcher.take()) is not None:
            waiting += batch.waiting
        for each in waiting:
            each.errback(self._failed)
        self._shut_when_idle()

    def _shut_when_idle(self) -> None:
        closing = self._closing
        if closing is None or closing.called or self._flying:
            return
        if not self._started:
            closing.callback(None)
            return
        self._started = False
        self._client.close().addCallback(closing.callback)


def _reason(failure: Failure) -> BaseException:
    return failure.value or UnavailableError("an unknown reason")


def _unavailable(path: str, error: BaseException) -> UnavailableError:
    if isinstance(error, TransactionError) and error.code == r.Code.BAD_VERSION:
        return UnavailableError(
            f"The registry {path} in ZooKeeper was taken over: another master leads."
        )
    return UnavailableError(f"The registry {path} in ZooKeeper cannot be used: {error}")
