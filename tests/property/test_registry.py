"""However operations are grouped into writes, every store comes to hold the same."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.operations import (
    AdmitAgent,
    MarkReachable,
    MarkUnreachable,
    RegistryOperation,
    RemoveAgent,
    Snapshot,
    StoreWeights,
)
from mesos_twisted.registry.sqlite import SameThread, SqliteRegistry
from mesos_twisted.testing.suites.registry import now

names = st.sampled_from("abc")
infos = names.map(lambda name: m.AgentInfo(hostname=name, id=m.AgentID(value=name)))
operations = st.one_of(
    infos.map(AdmitAgent),
    infos.map(MarkReachable),
    names.map(lambda name: RemoveAgent(AgentId(name))),
    st.builds(MarkUnreachable, names.map(AgentId), st.floats(0, 1e9)),
    st.lists(st.tuples(names, st.floats(0.1, 10)), max_size=3).map(
        lambda weights: StoreWeights(tuple(weights))
    ),
)


def held(found: Snapshot) -> tuple[object, ...]:
    """All but the count of writes, which depends on the grouping."""
    agents = sorted(info.hostname for info in found.agents)
    return agents, dict(found.unreachable), dict(found.gone), dict(found.weights)


@settings(max_examples=60, deadline=None)
@given(st.lists(operations, max_size=12), st.integers(1, 5))
def test_grouping_does_not_matter(asked: Sequence[RegistryOperation], size: int) -> None:
    """One by one in memory, in groups on disk: the same, also when read again."""
    memory = MemoryRegistry()
    for operation in asked:
        now(memory.apply([operation]))
    with TemporaryDirectory() as directory:
        path = str(Path(directory, "r"))
        sqlite = SqliteRegistry(path, SameThread())
        now(sqlite.load())
        for at in range(0, len(asked), size):
            now(sqlite.apply(asked[at : at + size]))
        now(sqlite.close())
        again = SqliteRegistry(path, SameThread())
        assert held(now(again.load())) == held(now(memory.load()))
        now(again.close())
