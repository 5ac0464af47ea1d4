"""The values that ZooKeeper's records are made of, and the stream of messages.

All numbers are big-endian; a buffer, a text and a vector begin with a 4-byte count, -1 for null.
Pure; input that is not of this form raises MalformedError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from mesos_twisted.errors import MalformedError
from mesos_twisted.zookeeper import records as r

#: Bytes of a message at most, unless told otherwise: a server's answer to one request of ours.
MAX_FRAME: Final = 8 * 1024 * 1024

INT: Final = struct.Struct(">i")
LONG: Final = struct.Struct(">q")
_STAT: Final = struct.Struct(">qqqqiiiqiiq")


class Frames:
    """Finds messages in a stream of bytes, however it was cut."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now, without their lengths. Raises MalformedError."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        position = 0
        while len(buffer) - position >= 4:
            (length,) = INT.unpack_from(buffer, position)
            if not 0 <= length <= self._limit:
                raise MalformedError(
                    f"A ZooKeeper message of {length} bytes was announced; at most {self._limit} "
                    "are accepted."
                )
            if len(buffer) - position - 4 < length:
                break
            found.append(bytes(buffer[position + 4 : position + 4 + length]))
            position += 4 + length
        del buffer[:position]
        return found


def frame(message: bytes) -> bytes:
    """The message with its length."""
    return INT.pack(len(message)) + message


class Reader:
    """Takes values from the front of a message."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.data)

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        """The numbers of one form."""
        try:
            values = form.unpack_from(self.data, self.position)
        except struct.error:
            raise MalformedError("A ZooKeeper message ends too early") from None
        self.position += form.size
        return values

    def number(self) -> int:
        """Four bytes."""
        value: int = self.take(INT)[0]
        return value

    def long_number(self) -> int:
        """Eight bytes."""
        value: int = self.take(LONG)[0]
        return value

    def flag(self) -> bool:
        """One byte."""
        if self.at_end:
            raise MalformedError("A ZooKeeper message ends too early")
        self.position += 1
        return self.data[self.position - 1] != 0

    def buffer(self) -> bytes:
        """Bytes; what is null on the wire is empty here."""
        length = self.number()
        if length < 0:
            return b""
        start, end = self.position, self.position + length
        if end > len(self.data):
            raise MalformedError("A ZooKeeper message ends too early")
        self.position = end
        return self.data[start:end]

    def text(self) -> str:
        """UTF-8; null is empty."""
        try:
            return self.buffer().decode()
        except UnicodeDecodeError:
            raise MalformedError("A ZooKeeper message has a text that is not UTF-8") from None

    def many(self, one: Callable[[], Any]) -> tuple[Any, ...]:
        """What `one` takes, as often as the count says."""
        count = self.number()
        # Each item has at least four bytes: a count that cannot be true costs nothing.
        if count > (len(self.data) - self.position) // 4:
            raise MalformedError("A ZooKeeper message ends too early")
        return tuple([one() for _ in range(count)])

    def stat(self) -> r.Stat:
        """A Stat."""
        return r.Stat(*self.take(_STAT))

    def acl(self) -> r.Acl:
        """One entry of a node's ACL."""
        return r.Acl(self.number(), self.text(), self.text())


def buffer(value: bytes) -> bytes:
    """Bytes with their count."""
    return INT.pack(len(value)) + value


def text(value: str) -> bytes:
    """UTF-8 with its count."""
    encoded = value.encode()
    return INT.pack(len(encoded)) + encoded


def texts(values: tuple[str, ...]) -> bytes:
    """A vector of texts."""
    return INT.pack(len(values)) + b"".join(map(text, values))


def acl(entries: tuple[r.Acl, ...]) -> bytes:
    """A node's ACL."""
    return INT.pack(len(entries)) + b"".join(
        INT.pack(entry.permissions) + text(entry.scheme) + text(entry.identity) for entry in entries
    )


def stat(stat: r.Stat) -> bytes:
    """A Stat."""
    return _STAT.pack(
        stat.czxid,
        stat.mzxid,
        stat.ctime,
        stat.mtime,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children,
        stat.pzxid,
    )
