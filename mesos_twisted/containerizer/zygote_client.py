"""The agent's side of the launcher: what can be asked of it.

It carries requests and answers, and refuses to know isolators or states of containers. Requests
made in one reactor turn leave in one write. When the connection is lost every request in flight
fails with `UnavailableError`, and whoever made it asks `list_all()` what became of it. `on_exit`
may tell of one exit twice.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from mesos_twisted.containerizer.core.container import Scope
from mesos_twisted.containerizer.zygote_connection import ZygoteConnection
from mesos_twisted.containerizer.zygote_messages import (
    Entry,
    Fields,
    LaunchRequest,
    Started,
    TreeUsage,
    encode_launch,
    read_started,
)
from mesos_twisted.errors import MesosError


class ZygoteClient(ZygoteConnection):
    """Asks the launcher of one runtime directory."""

    def launch(self, request: LaunchRequest) -> Deferred[Started]:
        """Fires once the process has exec'ed, or with `LaunchFailedError`.

        Launching a known id again answers its first outcome; ask once per id and connection.
        """
        if self._wire is None:
            return self._unavailable()  # type: ignore[return-value]  # it only ever fails
        try:
            data = encode_launch(self._number + 1, request)
        except MesosError as problem:
            return fail(problem)
        _, answer = self._next()
        self._wire.send(data)
        return answer.addCallback(read_started)

    def signal(self, container_id: str, signo: int, scope: Scope) -> Deferred[int]:
        """Fires with how many processes or groups took the signal; 0 when none was there."""
        fields = (container_id.encode(), b"%d" % signo, scope.value.encode())
        return self._request(b"SIGNAL", *fields).addCallback(lambda f: int(f[3]))

    def destroy(self, container_id: str) -> Deferred[None]:
        """Fires when no process of the container is left; true of unknown containers too."""
        return self._request(b"DESTROY", container_id.encode()).addCallback(_nothing)

    def forget(self, container_id: str) -> Deferred[None]:
        """The launcher no longer remembers the ended container; `RefusedError` for a live one."""
        return self._request(b"FORGET", container_id.encode()).addCallback(_nothing)

    def usage(self, container_id: str) -> Deferred[TreeUsage]:
        """Fires with the sums over the live processes; all of one turn cost one look at /proc."""
        return self._request(b"USAGE", container_id.encode()).addCallback(
            lambda f: TreeUsage(*(int(x) for x in f[3:8]))
        )

    def list_all(self) -> Deferred[list[Entry]]:
        """Fires with everything the launcher remembers."""
        return self._request(b"LIST").addCallback(self._listed)

    def _listed(self, fields: Fields) -> list[Entry]:
        return self._entries.pop(fields[1], [])

    def stats(self) -> Deferred[dict[str, int]]:
        """Fires with the launcher's own counters by name."""
        return self._request(b"STATS").addCallback(
            lambda f: {f[i].decode(): int(f[i + 1]) for i in range(2, len(f) - 1, 2)}
        )

    def ping(self) -> Deferred[None]:
        """Fires when the launcher answers."""
        return self._request(b"PING").addCallback(_nothing)

    def shutdown(self, *, force: bool = False) -> Deferred[None]:
        """The launcher ends; refused while tasks live, unless forced (they then live on)."""
        self._closed = True
        return self._request(b"SHUTDOWN", *([b"force"] if force else [])).addCallbacks(
            _nothing, self._still_needed
        )

    def _still_needed(self, reason: Failure) -> Failure:
        self._closed = self._wire is None
        return reason


def _nothing(fields: Fields) -> None:
    return None
