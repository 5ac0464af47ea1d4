"""A registry's records as they are stored, and the backup file that holds them. Pure.

What a record means is not looked at: a backup keeps what a newer release wrote into one, and tables
that nobody here knows. The file is msgpack with a name, a format and a checksum, the same for
every kind of store.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from mesos_twisted.errors import MalformedError
from mesos_twisted.registry.operations import MASTER, TABLES, Snapshot, snapshot

#: The layout of the records and of what is in them; a store with a higher number was written by a
#: newer release.
SCHEMA: Final = 1
#: The layout of the backup file.
FORMAT: Final = 1
_NAME: Final = "mesos-twisted registry"


@dataclass(frozen=True, slots=True)
class Raw:
    """Everything in a store at one moment; `records` are (table, key, value), in order."""

    schema: int
    version: int
    records: tuple[tuple[str, str, bytes], ...]


class _File(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    format: int
    schema: int
    version: int
    digest: bytes
    #: (table, key, value), encoded; the digest is of these bytes.
    records: bytes


_encode = msgspec.msgpack.Encoder().encode
_file = msgspec.msgpack.Decoder(_File)
_records = msgspec.msgpack.Decoder(tuple[tuple[str, str, bytes], ...])


def encode(raw: Raw) -> bytes:
    """The backup file's bytes."""
    records = _encode(tuple(sorted(raw.records)))
    return _encode(
        _File(
            name=_NAME,
            format=FORMAT,
            schema=raw.schema,
            version=raw.version,
            digest=hashlib.sha256(records).digest(),
            records=records,
        )
    )


def decode(data: bytes) -> Raw:
    """What a backup file holds, whole. Raises MalformedError."""
    try:
        file = _file.decode(data)
    except (msgspec.DecodeError, ValueError):
        raise MalformedError("It is not a backup of a registry, or it is cut short.") from None
    if file.name != _NAME:
        raise MalformedError("It is not a backup of a registry.")
    if file.format > FORMAT or file.schema > SCHEMA:
        raise MalformedError(
            f"It was written by a newer release (format {file.format}, layout {file.schema}; this "
            f"one knows {FORMAT} and {SCHEMA}); use that release."
        )
    if hashlib.sha256(file.records).digest() != file.digest:
        raise MalformedError("It is damaged: its checksum does not fit; use another backup.")
    return Raw(file.schema, file.version, _records.decode(file.records))


def read(raw: Raw) -> Snapshot:
    """What the records mean. Raises MalformedError."""
    return snapshot(raw.version, raw.records)


def unknown_tables(raw: Raw) -> list[str]:
    """Tables that only a newer release knows; they are kept as they are."""
    return sorted({table for table, _, _ in raw.records} - set(TABLES))


def without_history(raw: Raw) -> Raw:
    """The records without whose registry it was: the next leader begins a new one.

    Agents refuse a master that is behind the last they followed. A restored registry is behind by
    intent, so it must not claim to be the one that they know.
    """
    kept = tuple(record for record in raw.records if record[0] != MASTER)
    return Raw(raw.schema, raw.version, kept)
