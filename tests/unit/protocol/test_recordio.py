"""RecordIO keeps record boundaries and refuses every length that is not canonical."""

import pytest

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.recordio import Decoder, encode


def test_a_record_is_its_length_a_newline_and_its_bytes():
    assert encode(b'{"a":1}') == b'7\n{"a":1}'


def test_an_empty_record_cannot_be_written():
    with pytest.raises(ValueError):
        encode(b"")


def test_records_are_cut_wherever_the_bytes_were_split():
    records = [b"a", b"\n\n", b"x" * 1000]
    wire = b"".join(map(encode, records))
    for size in (1, 2, 3, 7, 500, len(wire)):
        decoder = Decoder(1000)
        got = []
        for start in range(0, len(wire), size):
            got += decoder.feed(wire[start : start + size])
        assert got == records
        assert decoder.pending_bytes == 0


@pytest.mark.parametrize(
    "wire",
    [
        b"0\n", b"+1\na", b"-1\na", b" 1\na", b"1 \na", b"01\na", b"\na", b"1\r\na", b"x", b"1x",
        b"1_0\n", "١\na".encode(), b"1001\n", b"99999", b"10000", b"0", b"\n", b"1e2\n",
    ],
)  # fmt: skip
def test_a_length_that_is_not_canonical_or_too_large_is_refused(wire):
    with pytest.raises(MalformedError):
        Decoder(1000).feed(wire)
    decoder = Decoder(1000)
    with pytest.raises(MalformedError):
        for byte in wire:
            decoder.feed(bytes((byte,)))


def test_an_incomplete_record_is_pending():
    decoder = Decoder(1000)
    assert decoder.feed(b"5\nabc") == []
    assert decoder.pending_bytes > 0
    assert decoder.feed(b"de3") == [b"abcde"]
