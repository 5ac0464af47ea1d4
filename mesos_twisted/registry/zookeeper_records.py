"""The records of a registry in ZooKeeper, for an operator's commands; see `RecordStore`.

A reading takes many requests, so it counts only when no write came between its first and its last;
the version tells. A replacement takes many transactions. While it is under way the registry's
`meta` says that it is of no layout, so no master starts on a part of it, and the epoch is the
replacement's, so the master that led cannot write. One that is cut short is begun again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredList

from mesos_twisted.errors import MesosError, UnavailableError
from mesos_twisted.registry.layout import META, RESTORING, Nodes, Operation, check_meta, key_of
from mesos_twisted.registry.operations import TABLES
from mesos_twisted.registry.raw import SCHEMA, Raw, without_history
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.errors import AnswerError, ConnectionLostError, NoNodeError
from mesos_twisted.zookeeper.net.client import TransactionError, ZooKeeperClient
from mesos_twisted.zookeeper.net.paths import make_path

T = TypeVar("T")

#: Reads under way at a time, and bytes of one transaction, about.
_READS: Final = 500
_BATCH_BYTES: Final = 256 * 1024
_NODE_BYTES: Final = 200
#: Readings before a registry that never stands still is given up.
_TRIES: Final = 20
_OWN: Final = ("meta", "epoch", "version")


class ZooKeeperRecords:
    """`client` is not started; `election` is the path that the masters contend in."""

    def __init__(
        self, client: ZooKeeperClient, path: str, acl: tuple[r.Acl, ...], election: str
    ) -> None:
        self._client = client
        self._path = path
        self._acl = acl
        self._election = election
        self._started = False

    def read(self) -> Deferred[Raw]:
        """All records at one moment, whether or not a master leads."""
        return Deferred.fromCoroutine(self._told(self._read))

    def replace(self, raw: Raw) -> Deferred[None]:
        """The records are these instead; while masters contend it fails with UnavailableError."""
        return Deferred.fromCoroutine(self._told(lambda: self._replace(without_history(raw))))

    def close(self) -> Deferred[None]:
        """The session has ended."""
        return self._client.close()

    async def _told(self, work: Callable[[], Awaitable[T]]) -> T:
        if not self._started:
            self._started = True
            self._client.start()
        try:
            return await work()
        except NoNodeError:
            raise UnavailableError(
                f"There is no registry {self._path} in ZooKeeper; name its path."
            ) from None
        except AnswerError as error:
            raise UnavailableError(str(error)) from None

    async def _read(self) -> Raw:
        await self._again(lambda: self._client.sync("/"))
        check_meta(self._path, (await self._get("meta")).data)
        for _ in range(_TRIES):
            before = await self._moment()
            try:
                records = await self._records()
            except NoNodeError:
                continue  # A record went while it was read.
            if await self._moment() == before:
                return Raw(SCHEMA, before[1], tuple(sorted(records)))
        raise UnavailableError(
            f"The registry {self._path} changes all the time; try again in a quieter moment."
        )

    async def _moment(self) -> tuple[int, int]:
        await self._again(lambda: self._client.sync(self._path))
        epoch, version = await self._get("epoch"), await self._get("version")
        return epoch.stat.version, version.stat.version

    async def _records(self) -> list[tuple[str, str, bytes]]:
        nodes = await self._nodes()
        values = await self._many(self._client.get, nodes)
        found = []
        for node, value in zip(nodes, values, strict=True):
            table, _, name = node.split("/")
            found.append((table, key_of(name), value.data))
        return found

    async def _nodes(self) -> list[str]:
        """`<table>/<shard>/<name>` of each record, also of tables that nobody here knows."""
        below = (await self._again(lambda: self._client.children(self._path))).children
        shards = await self._below(sorted(set(below) - set(_OWN)))
        return await self._below(shards)

    async def _below(self, nodes: Sequence[str]) -> list[str]:
        found = await self._many(self._client.children, nodes)
        return [
            f"{node}/{name}"
            for node, answer in zip(nodes, found, strict=True)
            for name in sorted(answer.children)
        ]

    async def _many(self, read: Callable[[str], Deferred[T]], nodes: Sequence[str]) -> list[T]:
        results: list[T] = []
        for start in range(0, len(nodes), _READS):
            paths = [f"{self._path}/{node}" for node in nodes[start : start + _READS]]
            results += await self._again(partial(self._all, read, paths))
        return results

    async def _all(self, read: Callable[[str], Deferred[T]], paths: Iterable[str]) -> list[T]:
        answers: list[tuple[bool, Any]] = await DeferredList(
            [read(path) for path in paths], consumeErrors=True
        )
        for succeeded, answer in answers:
            if not succeeded:
                answer.raiseException()
        return [answer for _, answer in answers]

    async def _get(self, name: str) -> r.Data:
        return await self._again(lambda: self._client.get(f"{self._path}/{name}"))

    async def _again(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What it gives, asked again when only the answer was lost."""
        while True:
            try:
                return await ask()
            except ConnectionLostError:
                continue

    # Replacing

    async def _replace(self, raw: Raw) -> None:
        client, path = self._client, self._path
        await client.sync("/")
        await self._refuse_beside_masters()
        await make_path(client, path, self._acl)
        there = set((await client.children(path)).children)
        if "meta" in there:
            check_meta(path, (await self._get("meta")).data, restoring=True)
        await self._begin(there)
        epoch = (await self._get("epoch")).stat.version
        nodes = Nodes(path, self._acl)
        for record in await self._nodes():
            table, shard, name = record.split("/")
            nodes.found(table, shard, [name])
        for shard in await self._below(sorted(there - set(_OWN))):
            nodes.found(*shard.split("/"), [])  # type: ignore[call-arg]  # table and shard
        await self._write(nodes, epoch, raw)
        finish: list[Operation] = [r.Check(f"{path}/epoch", epoch), r.SetData(f"{path}/meta", META)]
        await self._once(finish)

    async def _refuse_beside_masters(self) -> None:
        try:
            contenders = (await self._client.children(self._election)).children
        except NoNodeError:
            return
        if any(name.startswith("json.info_") for name in contenders):
            raise UnavailableError(
                f"The registry {self._path} is in use: masters contend in {self._election}; stop "
                "them all first."
            )

    async def _begin(self, there: set[str]) -> None:
        path = self._path
        missing = [name for name in (*_OWN, *TABLES) if name not in there]
        operations: list[Operation] = [
            r.Create(f"{path}/{name}", RESTORING if name == "meta" else b"", self._acl)
            for name in missing
        ]
        if "meta" in there:
            operations.append(r.SetData(f"{path}/meta", RESTORING))
        # Whoever led until now cannot write any more.
        operations.append(r.SetData(f"{path}/epoch", b"restoring"))
        await self._once(operations)

    async def _write(self, nodes: Nodes, epoch: int, raw: Raw) -> None:
        wanted = {(table, key): value for table, key, value in raw.records}
        here = {(table, key) for table, key, _ in await self._records()}
        writes: dict[tuple[str, str], bytes | None] = dict.fromkeys(sorted(here - wanted.keys()))
        writes.update(wanted)
        known = {*TABLES, *(table for table, _ in here)}
        strange = sorted({table for table, _ in wanted} - known)
        tables: list[Operation] = [r.Create(f"{self._path}/{t}", b"", self._acl) for t in strange]
        part: dict[tuple[str, str], bytes | None] = {}
        size = 0
        for place, value in writes.items():
            part[place] = value
            size += _NODE_BYTES + len(place[1]) + len(value or b"")
            if size >= _BATCH_BYTES:
                await self._batch(epoch, [*tables, *nodes.write(part)])
                tables, part, size = [], {}, 0
        await self._batch(epoch, [*tables, *nodes.write(part)])

    async def _batch(self, epoch: int, operations: list[Operation]) -> None:
        path = self._path
        counted = r.SetData(f"{path}/version", b"restoring")
        await self._once([r.Check(f"{path}/epoch", epoch), counted, *operations])

    async def _once(self, operations: Sequence[Operation]) -> None:
        try:
            await self._client.multi(operations)
        except TransactionError as error:
            raise UnavailableError(
                f"The registry {self._path} is written by somebody else: {error}; restore it again."
            ) from None
        except ConnectionLostError as error:
            raise UnavailableError(f"{error}; restore it again.") from None
        except MesosError as error:
            raise UnavailableError(str(error)) from None
