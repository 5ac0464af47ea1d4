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
    MarkReachable,
    MarkUnreachable,
    RemoveAgent,
    StoreWeights,
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

    def reopened(self, place: Any) -> Any:
        """What a restart finds."""
        return now(self.make(place).load())

    def test_a_new_registry_is_empty(self, tmp_path: Any) -> None:
        """A first start finds nothing and no error."""
        found = now(self.make(self.place(tmp_path)).load())
        assert (found.agents, found.unreachable, found.gone, found.weights) == ((), {}, {}, {})

    def test_admitted_agents_survive(self, tmp_path: Any) -> None:
        """What was applied is found again, whole."""
        place = self.place(tmp_path)
        registry = self.make(place)
        now(registry.load())
        now(registry.apply([AdmitAgent(agent("a")), AdmitAgent(agent("b"))]))
        now(registry.close())
        assert {info.hostname for info in self.reopened(place).agents} == {"a.example", "b.example"}

    def test_an_agent_goes_and_returns(self, tmp_path: Any) -> None:
        """Unreachable and admitted exclude each other."""
        place = self.place(tmp_path)
        registry = self.make(place)
        now(registry.load())
        now(registry.apply([AdmitAgent(agent("a"))]))
        now(registry.apply([MarkUnreachable(AgentId("a"), 12.5)]))
        found = self.reopened(place)
        assert (found.agents, found.unreachable) == ((), {"a": 12.5})
        now(registry.apply([MarkReachable(agent("a"))]))
        found = self.reopened(place)
        assert (len(found.agents), found.unreachable) == (1, {})
        now(registry.apply([RemoveAgent(AgentId("a"))]))
        found = self.reopened(place)
        assert (found.agents, found.unreachable) == ((), {})

    def test_weights_are_merged(self, tmp_path: Any) -> None:
        """A weight that is not named keeps its value."""
        place = self.place(tmp_path)
        registry = self.make(place)
        now(registry.load())
        now(registry.apply([StoreWeights((("a", 2.0), ("b", 3.0)))]))
        now(registry.apply([StoreWeights((("b", 0.5),))]))
        assert self.reopened(place).weights == {"a": 2.0, "b": 0.5}

    def test_versions_rise(self, tmp_path: Any) -> None:
        """Each write has its number."""
        registry = self.make(self.place(tmp_path))
        before = now(registry.load()).version
        first = now(registry.apply([AdmitAgent(agent("a"))]))
        second = now(registry.apply([AdmitAgent(agent("b"))]))
        assert before < first < second

    def test_a_closed_registry_refuses(self, tmp_path: Any) -> None:
        """Nothing is written after close, and nobody is left waiting."""
        registry = self.make(self.place(tmp_path))
        now(registry.load())
        now(registry.close())
        with pytest.raises(UnavailableError):
            now(registry.apply([AdmitAgent(agent("a"))]))
