"""One record, one chunk, however the bytes were split."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesos_twisted.connect.core import records
from mesos_twisted.connect.core.records import Chunks
from mesos_twisted.protocol.recordio import encode


def feed(pieces):
    chunks = Chunks()
    out = [chunk for piece in pieces for chunk in chunks.feed(piece)]
    return out, chunks.rest()


def split(data, cuts):
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(0, 400)))
def test_each_record_is_one_chunk(payloads, cuts):
    wire = [encode(payload) for payload in payloads]
    assert feed(split(b"".join(wire), cuts)) == (wire, b"")


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_no_byte_is_lost_or_moved(data, cuts):
    out, rest = feed(split(data, cuts))
    assert b"".join(out) + rest == data


def test_other_bodies_pass_as_they_come():
    assert feed([b'{"type": 1}', b"2\n{}", b"x"]) == ([b'{"type": 1}', b"2\n{}", b"x"], b"")


def test_long_records_are_not_held(monkeypatch):
    monkeypatch.setattr(records, "MAX_HELD_BYTES", 8)
    long, short = encode(b"x" * 20), encode(b"ab")
    assert feed([long[:5], long[5:], short]) == ([long[:5], long[5:], short], b"")
    assert feed([short + long[:5], long[5:] + short]) == ([short, long[:5], long[5:], short], b"")
    assert feed([long + short]) == ([long, short], b"")
