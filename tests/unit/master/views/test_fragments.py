"""Rendered records follow their versions, and are forgotten when nobody asks."""

from dataclasses import dataclass

from mesos_twisted.master.views.fragments import Fragments, joined


@dataclass(eq=False)
class Record:
    """Something with a version."""

    text: bytes
    version: int = 0


def test_rendered_once_for_each_version() -> None:
    """A change of the version renders anew, nothing else does."""
    calls: list[bytes] = []

    def render(record: Record) -> bytes:
        calls.append(record.text)
        return record.text

    fragments: Fragments[Record] = Fragments(render)
    record = Record(b"a")
    assert fragments.of(record) == fragments.of(record) == b"a" and len(calls) == 1
    record.text, record.version = b"b", 1
    assert fragments.of(record) == b"b" and len(calls) == 2


def test_forgotten_when_idle() -> None:
    """Memory goes back after a time without questions."""
    fragments: Fragments[Record] = Fragments(lambda record: record.text)
    list(fragments.each([Record(b"a"), Record(b"b")]))
    asked = fragments.forget_idle(-1)
    assert len(fragments) == 2
    fragments.forget_idle(asked)
    assert len(fragments) == 0


def test_dead_records_are_dropped() -> None:
    """What left the state does not stay for ever."""
    fragments: Fragments[Record] = Fragments(lambda record: record.text)
    list(fragments.each([Record(b"x") for _ in range(2000)]))
    fragments.trim(10)
    assert len(fragments) == 0


def test_joined_arrays() -> None:
    """Any number of elements, with commas between."""
    for count in (0, 1, 2, 31, 32, 33, 64, 65):
        items = [b"%d" % i for i in range(count)]
        assert b"".join(joined(items, b"[", b"]")) == b"[" + b",".join(items) + b"]"
