"""Sessions with ZooKeeper, one after the other, for what is to outlive each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mesos_twisted.clock import Timers
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.net.client import ZooKeeperClient

#: Makes a client that is not started: one session.
Connect: TypeAlias = Callable[[], ZooKeeperClient]

_log = Logger()

#: Before credentials that were refused are shown again, in seconds.
_REFUSED_S = 10.0


class Sessions:
    """One session after the other, until `stop`.

    `ended()` is called when one has ended, and then, soon, `begin()` if there is to be another.
    `flag` is where the credentials are from, for a sentence.
    """

    def __init__(
        self,
        connect: Connect,
        timers: Timers,
        ended: Callable[[], object],
        begin: Callable[[], object],
        flag: str = "--zk",
    ) -> None:
        self.client: ZooKeeperClient | None = None
        self._connect = connect
        self._timers = timers
        self._tell_ended = ended
        self._begin = begin
        self._flag = flag

    def make(self) -> ZooKeeperClient:
        """A new session, started."""
        self.client = client = self._connect()
        client.listen(lambda state, why: self._changed(client, state))
        client.start()
        return client

    def _changed(self, client: ZooKeeperClient, state: SessionState) -> None:
        if client is not self.client:
            return
        if state is SessionState.EXPIRED:
            self._tell_ended()
            self._begin()
        elif state is SessionState.AUTH_FAILED:
            _log.error(
                "ZooKeeper refuses our credentials; look at the user and password of {flag}",
                flag=self._flag,
            )
            self._tell_ended()
            self._timers.after(_REFUSED_S, self._begin)

    def stop(self) -> Deferred[None]:
        """Fires when the session has ended."""
        client, self.client = self.client, None
        self._timers.cancel_all()
        return succeed(None) if client is None else client.close()
