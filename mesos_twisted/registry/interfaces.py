"""What a master asks of its registry: read all of it once, then make operations durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from mesos_twisted.registry.operations import RegistryOperation, Snapshot
from mesos_twisted.registry.raw import Raw


class Registry(Protocol):
    """A versioned store with one writer.

    `load` comes first. A store that notices another writer, or that fails in any way, fails every
    later `apply` as well: its master must stop, because it no longer knows what is stored.
    """

    def load(self) -> Deferred[Snapshot]:
        """Fires with all that is stored, or UnavailableError or MalformedError in one sentence."""
        ...

    def apply(self, operations: Sequence[RegistryOperation]) -> Deferred[int]:
        """Fires with the new version once all of them survive a crash, in the order of the calls.

        They are applied all or none. Fails with UnavailableError.
        """
        ...

    def close(self) -> Deferred[None]:
        """Fires when everything applied before is durable and the store is let go."""
        ...


class RecordStore(Protocol):
    """A store's records as they are, for an operator's commands beside a master.

    Both fail with UnavailableError, or MalformedError for a store of a newer release.
    """

    def read(self) -> Deferred[Raw]:
        """All of them at one moment, also while a master writes."""
        ...

    def replace(self, raw: Raw) -> Deferred[None]:
        """They are these instead, all or none, as a registry that no agent has heard of.

        Refused while a master leads by it.
        """
        ...

    def close(self) -> Deferred[None]:
        """The store is let go."""
        ...
