"""A registry that is lost with its process: for tests and for throw-away clusters."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed

from mesos_twisted.errors import UnavailableError
from mesos_twisted.registry.operations import RegistryOperation, Snapshot, Writes, snapshot, write


class MemoryRegistry:
    """Passes the same suite as the others; `records` may be shared to imitate a restart."""

    def __init__(self, records: dict[tuple[str, str], bytes] | None = None) -> None:
        self.records: dict[tuple[str, str], bytes] = {} if records is None else records
        self._version = 0
        self._closed = False

    def load(self) -> Deferred[Snapshot]:
        """Fires at once."""
        return succeed(
            snapshot(self._version, ((t, key, value) for (t, key), value in self.records.items()))
        )

    def apply(self, operations: Sequence[RegistryOperation]) -> Deferred[int]:
        """Fires at once."""
        if self._closed:
            return fail(UnavailableError("The registry is closed"))
        writes: Writes = {}
        for operation in operations:
            write(operation, writes)
        for place, value in writes.items():
            if value is None:
                self.records.pop(place, None)
            else:
                self.records[place] = value
        self._version += 1
        return succeed(self._version)

    def close(self) -> Deferred[None]:
        """Later operations are refused."""
        self._closed = True
        return succeed(None)
