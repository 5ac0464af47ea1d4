"""Where the registry's records are in ZooKeeper. Pure.

Below the registry's path: `meta` (JSON: the layout's number), `epoch` (who leads; each new leader
writes it, and its version is the fence), `version` (written by each write; its version counts
them), and `<table>/<shard>/<key>` for each record. 256 shards keep the lists of children short: one
list of 50,000 names would be larger than a server sends. A key is percent-encoded, because a role
may hold a slash.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from mesos_twisted.errors import MalformedError
from mesos_twisted.registry.operations import TABLES, Writes
from mesos_twisted.zookeeper import records as r

#: The layout described here; a higher number was written by a newer release.
SCHEMA: Final = 1
META: Final = json.dumps({"schema": SCHEMA}).encode()
#: While a backup is put in its place it is of no layout, and no master may start on it.
RESTORING: Final = json.dumps({"schema": 0, "restoring": True}).encode()

#: What a transaction is made of.
Operation: TypeAlias = r.Create | r.Delete | r.SetData | r.Check


def place(key: str) -> tuple[str, str]:
    """(shard, name of its node) of a record in its table."""
    # Without dots, which alone are no names in ZooKeeper.
    name = quote(key, safe="").replace(".", "%2E")
    return f"{zlib.crc32(key.encode()) & 0xFF:02x}", name


def key_of(name: str) -> str:
    """The key whose record a node is."""
    return unquote(name)


def check_meta(path: str, data: bytes, restoring: bool = False) -> None:
    """Raises MalformedError unless the registry is of a layout known here; with `restoring`, one
    that was being restored is as good."""
    if data == RESTORING:
        if restoring:
            return
        raise MalformedError(
            f"The registry at {path} was being restored when that was cut short; restore it again."
        )
    try:
        schema = json.loads(data)["schema"]
    except (ValueError, KeyError, TypeError):
        raise MalformedError(
            f"{path}/meta in ZooKeeper is not a registry's; set another path."
        ) from (None)
    if schema != SCHEMA:
        raise MalformedError(
            f"The registry at {path} was written by another release (layout {schema}, this one "
            f"knows {SCHEMA}); start that release again."
        )


class Nodes:
    """Which nodes there are, so that a write knows whether to create or to set.

    One master writes at a time, so what it wrote and found is what there is.
    """

    __slots__ = ("_acl", "_path", "_shards")

    def __init__(self, path: str, acl: tuple[r.Acl, ...]) -> None:
        self._path = path
        self._acl = acl
        self._shards: dict[tuple[str, str], set[str]] = {}

    def found(self, table: str, shard: str, names: Iterable[str]) -> None:
        """The shard is there, with these records."""
        self._shards.setdefault((table, shard), set()).update(names)

    def write(self, writes: Writes) -> list[Operation]:
        """What makes the writes true; from now on they are taken as done."""
        operations: list[Operation] = []
        for (table, key), value in writes.items():
            shard, name = place(key)
            names = self._shards.get((table, shard))
            if value is None:
                if names is not None and name in names:
                    names.remove(name)
                    operations.append(r.Delete(f"{self._path}/{table}/{shard}/{name}"))
                continue
            if names is None:
                names = self._shards[table, shard] = set()
                operations.append(r.Create(f"{self._path}/{table}/{shard}", b"", self._acl))
            node = f"{self._path}/{table}/{shard}/{name}"
            if name in names:
                operations.append(r.SetData(node, value))
            else:
                names.add(name)
                operations.append(r.Create(node, value, self._acl))
        return operations


def base_nodes(path: str, acl: tuple[r.Acl, ...], there: Iterable[str]) -> list[Operation]:
    """What a registry begins with below its path, without the names that are there already."""
    nodes = {"meta": META, "epoch": b"", "version": b"", **dict.fromkeys(TABLES, b"")}
    known = set(there)
    return [
        r.Create(f"{path}/{name}", data, acl) for name, data in nodes.items() if name not in known
    ]
