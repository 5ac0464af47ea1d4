"""RecordIO: a record is its length in ASCII decimal, one newline, and that many bytes.

Pure: bytes in, records out. What a record means is the codec's affair. A length is canonical (no
sign, space or leading zero) and never 0; nothing follows the payload.
"""

from __future__ import annotations

from mesos_twisted.errors import MalformedError


def encode(payload: bytes) -> bytes:
    """The record holding `payload`, which must not be empty."""
    if not payload:
        raise ValueError("A record cannot be empty")
    return b"%d\n%b" % (len(payload), payload)


class Decoder:
    """Cuts a byte stream into records however it was split; time is linear in the bytes fed.

    After `MalformedError` the stream has no known boundary left: the decoder must not be fed again.
    """

    __slots__ = ("_buffer", "_digits", "_max_record_bytes", "_need")

    def __init__(self, max_record_bytes: int) -> None:
        self._max_record_bytes = max_record_bytes
        self._digits = len(str(max_record_bytes))
        self._buffer = bytearray()
        self._need = 0  # payload bytes of the record under way; 0 while its length is unknown

    @property
    def pending_bytes(self) -> int:
        """Bytes held back because their record is not complete; 0 at a record boundary."""
        return len(self._buffer) + len(str(self._need)) + 1 if self._need else len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The records `data` completes, in order. Raises `MalformedError` on a bad length."""
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        records: list[bytes] = []
        position, need, end = 0, self._need, len(source)
        while True:
            if not need:
                newline = source.find(b"\n", position, position + self._digits + 1)
                if newline < 0:
                    self._check_prefix(bytes(source[position : position + self._digits + 1]))
                    break
                need = self._length(bytes(source[position:newline]))
                position = newline + 1
            if end - position < need:
                break
            records.append(bytes(source[position : position + need]))
            position += need
            need = 0
        self._need = need
        if source is self._buffer:
            del self._buffer[:position]
        elif position < end:
            self._buffer += source[position:]
        return records

    def _length(self, digits: bytes) -> int:
        # bytes.isdigit knows ASCII digits only.
        if not digits.isdigit() or digits[0] == 0x30:
            raise MalformedError(
                f"The record length {digits[:32]!r} is not a positive decimal number;"
                " send the length, one newline, then the record"
            )
        need = int(digits)
        if need > self._max_record_bytes:
            raise MalformedError(
                f"The record is {need} bytes long; at most {self._max_record_bytes} are accepted"
            )
        return need

    def _check_prefix(self, prefix: bytes) -> None:
        """Refuse as early as the bytes allow, not only when a newline comes."""
        if not prefix:
            return
        if len(prefix) > self._digits:
            if prefix.isdigit():
                raise MalformedError(
                    f"The record length {prefix!r}… is above the accepted"
                    f" {self._max_record_bytes} bytes"
                )
            self._length(prefix)
        if not prefix.isdigit() or prefix[0] == 0x30:
            self._length(prefix)
