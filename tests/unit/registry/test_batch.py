"""Group commit, and where records lie in ZooKeeper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry.batch import RECORD_BYTES, Batcher
from mesos_twisted.registry.layout import META, Nodes, base_nodes, check_meta, key_of, place
from mesos_twisted.registry.operations import AGENTS, MarkUnreachable, RemoveAgent
from mesos_twisted.zookeeper import records as r

ACL = r.OPEN_ACL


def test_without_a_limit_all_goes_into_one_write() -> None:
    """In the order of asking; then nobody waits."""
    batcher: Batcher[int] = Batcher()
    for number in range(100):
        batcher.add([RemoveAgent(AgentId(f"a{number}"))], number)
    batch = batcher.take()
    assert batch is not None and batch.waiting == list(range(100))
    assert batcher.take() is None


def test_a_full_batch_takes_no_more() -> None:
    """What is asked together stays together, even when it is too large by itself."""
    batcher: Batcher[int] = Batcher(11 * RECORD_BYTES)
    large = [RemoveAgent(AgentId(f"b{number}")) for number in range(50)]
    for number, operations in enumerate(([large[0]], [large[1]], large, [large[2]])):
        batcher.add(operations, number)
    taken = []
    while (batch := batcher.take()) is not None:
        taken.append(batch.waiting)
    assert taken == [[0, 1], [2], [3]]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_key_has_a_node(key: str) -> None:
    """Of a name that ZooKeeper takes, from which the key comes back."""
    shard, name = place(key)
    assert key_of(name) == key
    assert name not in (".", "..") and "/" not in name and name.isascii() and name.isprintable()
    assert len(shard) == 2 and 0 <= int(shard, 16) < 256


def test_nodes_are_made_once_and_then_set() -> None:
    """A shard comes before its first record; what is not there is not deleted."""
    nodes = Nodes("/r", ACL)
    shard, name = place("k")
    base = f"/r/{AGENTS}/{shard}"
    assert nodes.write({(AGENTS, "k"): None}) == []
    assert nodes.write({(AGENTS, "k"): b"1"}) == [
        r.Create(base, b"", ACL),
        r.Create(f"{base}/{name}", b"1", ACL),
    ]
    assert nodes.write({(AGENTS, "k"): b"2"}) == [r.SetData(f"{base}/{name}", b"2")]
    assert nodes.write({(AGENTS, "k"): None}) == [r.Delete(f"{base}/{name}")]
    assert nodes.write({(AGENTS, "k"): b"3"}) == [r.Create(f"{base}/{name}", b"3", ACL)]
    found = Nodes("/r", ACL)
    found.found(AGENTS, shard, [name])
    assert found.write({(AGENTS, "k"): b"4"}) == [r.SetData(f"{base}/{name}", b"4")]


def test_a_registry_gets_what_it_lacks() -> None:
    """A table that an older release did not know is made beside the others."""
    every = {node.path for node in base_nodes("/r", ACL, ())}
    assert {"/r/meta", "/r/epoch", "/r/version", f"/r/{AGENTS}"} <= every
    left = base_nodes("/r", ACL, [path.removeprefix("/r/") for path in every - {"/r/epoch"}])
    assert [node.path for node in left] == ["/r/epoch"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"schema": 2}', b'{"schema": "1"}', b"\xff"])
def test_only_our_layout_is_taken(data: bytes) -> None:
    """Whatever else is there is left alone."""
    with pytest.raises(MalformedError):
        check_meta("/r", data)
    check_meta("/r", META)


def test_writes_are_the_operations_sum() -> None:
    """A later write of the same record wins."""
    batcher: Batcher[str] = Batcher(100_000)
    batcher.add([MarkUnreachable(AgentId("a"), 1.0)], "first")
    batcher.add([RemoveAgent(AgentId("a"))], "second")
    batch = batcher.take()
    assert batch is not None and set(batch.writes.values()) == {None}
