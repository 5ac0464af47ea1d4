"""What every registry promises; an implementation gives `make` and inherits the tests."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry.interfaces import Registry
from mesos_twisted.registry.operations import (
    AdmitAgent,
    DeactivateAgent,
    DrainAgent,
    Lead,
    MarkAgentDrained,
    MarkGone,
    MarkReachable,
    MarkUnreachable,
    Prune,
    ReactivateAgent,
    RegistryOperation,
    RemoveAgent,
    StoreWeights,
    next_lead,
)

T = TypeVar("T")


def now(deferred: Deferred[T]) -> T:
    """The result of a Deferred that has fired; its failure is raised."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "The Deferred has not fired"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]  # type: ignore[no-any-return]  # the list holds what T is


def agent(name: str) -> m.AgentInfo:
    """A small agent."""
    return m.AgentInfo(hostname=f"{name}.example", port=5051, id=m.AgentID(value=name))


class RegistrySuite:
    """Mix into a test class that has `make(place)`; the same place is the same store."""

    def make(self, place: Any) -> Registry:
        """A registry, not loaded yet, over what is stored at `place`."""
        raise NotImplementedError

    def place(self, tmp_path: Any) -> Any:
        """A fresh, empty place."""
        return tmp_path

    def wait(self, deferred: Deferred[T]) -> T:
        """What it fires with; here it has fired already."""
        return now(deferred)

    def reopened(self, place: Any) -> Any:
        """What a restart finds; it may shut out whoever had loaded before."""
        registry = self.make(place)
        found = self.wait(registry.load())
        self.wait(registry.close())
        return found

    def test_a_new_registry_is_empty(self, tmp_path: Any) -> None:
        """A first start finds nothing and no error."""
        found = self.wait(self.make(self.place(tmp_path)).load())
        assert (found.agents, found.unreachable, found.gone, found.weights) == ((), {}, {}, {})

    def test_admitted_agents_survive(self, tmp_path: Any) -> None:
        """What was applied is found again, whole."""
        place = self.place(tmp_path)
        registry = self.make(place)
        self.wait(registry.load())
        self.wait(registry.apply([AdmitAgent(agent("a")), AdmitAgent(agent("b"))]))
        self.wait(registry.close())
        assert {info.hostname for info in self.reopened(place).agents} == {"a.example", "b.example"}

    def test_an_agent_goes_and_returns(self, tmp_path: Any) -> None:
        """Unreachable and admitted exclude each other."""
        place = self.place(tmp_path)

        def afterwards(*operations: RegistryOperation) -> Any:
            registry = self.make(place)
            self.wait(registry.load())
            for operation in operations:
                self.wait(registry.apply([operation]))
            self.wait(registry.close())
            return self.reopened(place)

        found = afterwards(AdmitAgent(agent("a")), MarkUnreachable(AgentId("a"), 12.5))
        assert (found.agents, found.unreachable) == ((), {"a": 12.5})
        found = afterwards(MarkReachable(agent("a")))
        assert (len(found.agents), found.unreachable) == (1, {})
        found = afterwards(RemoveAgent(AgentId("a")))
        assert (found.agents, found.unreachable) == ((), {})

    def test_gone_is_from_anywhere_and_for_good(self, tmp_path: Any) -> None:
        """An agent marked gone is nothing else, until it is forgotten."""
        place = self.place(tmp_path)
        registry = self.make(place)
        self.wait(registry.load())
        names = ("a", "b", "c", "d")
        self.wait(registry.apply([AdmitAgent(agent(name)) for name in names]))
        self.wait(registry.apply([MarkUnreachable(AgentId("b"), 1.0)]))
        self.wait(registry.apply([MarkUnreachable(AgentId("c"), 2.0)]))
        self.wait(registry.apply([MarkGone(AgentId("a"), 3.0), MarkGone(AgentId("b"), 4.0)]))
        self.wait(registry.close())
        found = self.reopened(place)
        assert [info.hostname for info in found.agents] == ["d.example"]
        assert (found.unreachable, found.gone) == ({"c": 2.0}, {"a": 3.0, "b": 4.0})
        registry = self.make(place)
        self.wait(registry.load())
        prune = Prune((AgentId("c"), AgentId("never")), (AgentId("a"),))
        self.wait(registry.apply([prune]))
        self.wait(registry.close())
        found = self.reopened(place)
        assert (found.unreachable, found.gone) == ({}, {"b": 4.0})

    def test_what_an_operator_wants_of_an_agent_stays_with_it(self, tmp_path: Any) -> None:
        """Deactivated, draining or drained: over a loss and a return, until it is undone."""
        place = self.place(tmp_path)
        draining, drained = m.DrainState.DRAINING, m.DrainState.DRAINED
        config = m.DrainConfig(max_grace_period=m.DurationInfo(nanoseconds=5), mark_gone=True)
        a, b, c = AgentId("a"), AgentId("b"), AgentId("c")

        def afterwards(*operations: RegistryOperation) -> Any:
            registry = self.make(place)
            self.wait(registry.load())
            for operation in operations:
                self.wait(registry.apply([operation]))
            self.wait(registry.close())
            found = self.reopened(place)
            return found.deactivated, {name: one.state for name, one in found.draining.items()}

        made = afterwards(*[AdmitAgent(agent(name)) for name in ("a", "b", "c")])
        assert made == (frozenset(), {})
        made = afterwards(DrainAgent(a, config), DeactivateAgent(b), DrainAgent(c, m.DrainConfig()))
        assert made == ({"a", "b", "c"}, {"a": draining, "c": draining})
        assert self.reopened(place).draining[a].config == config
        made = afterwards(MarkUnreachable(a, 1.0), MarkAgentDrained(c), DeactivateAgent(c))
        assert made == ({"a", "b", "c"}, {"a": draining, "c": drained})
        made = afterwards(MarkReachable(agent("a")), DrainAgent(c, config), ReactivateAgent(b))
        assert made == ({"a", "c"}, {"a": draining, "c": draining})
        made = afterwards(MarkGone(a, 2.0), MarkUnreachable(c, 2.0))
        assert made == ({"c"}, {"c": draining})
        made = afterwards(Prune((c,), (), (c,)), AdmitAgent(agent("c")))
        assert made == (frozenset(), {})
        made = afterwards(
            DrainAgent(c, config), RemoveAgent(c), DrainAgent(AgentId("never"), config)
        )
        assert made == (frozenset(), {})

    def test_leaders_are_counted(self, tmp_path: Any) -> None:
        """Each knows the one before; the registry keeps the name of the first."""
        place = self.place(tmp_path)
        for epoch, name in enumerate(("m1", "m2"), 1):
            master = m.MasterInfo(id=name, ip=1, port=5050, hostname=name)
            registry = self.make(place)
            lead = next_lead(self.wait(registry.load()), master)
            assert lead == Lead("m1", epoch, master)
            self.wait(registry.apply([lead]))
            self.wait(registry.close())
            found = self.reopened(place)
            assert (found.registry_id, found.epoch, found.master) == ("m1", epoch, master)

    def test_odd_names_are_kept(self, tmp_path: Any) -> None:
        """A role may hold slashes, dots and letters of any kind."""
        place = self.place(tmp_path)
        weights = {"a/b": 2.0, "..": 3.0, ".": 4.0, "ä b%2F": 5.0, "*": 6.0}
        registry = self.make(place)
        self.wait(registry.load())
        self.wait(registry.apply([StoreWeights(tuple(weights.items()))]))
        self.wait(registry.close())
        assert self.reopened(place).weights == weights

    def test_many_at_once_all_hold(self, tmp_path: Any) -> None:
        """However they are gathered, each fires, in order, and is found again."""
        place = self.place(tmp_path)
        registry = self.make(place)
        self.wait(registry.load())
        fired: list[int] = []
        versions: list[int] = []
        for number in range(300):
            done = registry.apply([AdmitAgent(agent(f"n{number}"))])
            done.addCallback(versions.append)
            done.addCallback(lambda _, which: fired.append(which), number)
        self.wait(registry.close())
        assert fired == list(range(300))
        assert versions == sorted(versions)
        assert len(self.reopened(place).agents) == 300

    def test_weights_are_merged(self, tmp_path: Any) -> None:
        """A weight that is not named keeps its value."""
        place = self.place(tmp_path)
        registry = self.make(place)
        self.wait(registry.load())
        self.wait(registry.apply([StoreWeights((("a", 2.0), ("b", 3.0)))]))
        self.wait(registry.apply([StoreWeights((("b", 0.5),))]))
        self.wait(registry.close())
        assert self.reopened(place).weights == {"a": 2.0, "b": 0.5}

    def test_versions_rise(self, tmp_path: Any) -> None:
        """Each write has its number."""
        registry = self.make(self.place(tmp_path))
        before = self.wait(registry.load()).version
        first = self.wait(registry.apply([AdmitAgent(agent("a"))]))
        second = self.wait(registry.apply([AdmitAgent(agent("b"))]))
        assert before < first < second

    def test_a_closed_registry_refuses(self, tmp_path: Any) -> None:
        """Nothing is written after close, and nobody is left waiting."""
        registry = self.make(self.place(tmp_path))
        self.wait(registry.load())
        self.wait(registry.close())
        with pytest.raises(UnavailableError):
            self.wait(registry.apply([AdmitAgent(agent("a"))]))
