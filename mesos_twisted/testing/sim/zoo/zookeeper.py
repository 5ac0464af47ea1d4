"""Sessions, watches and election nodes in ZooKeeper."""

from __future__ import annotations

from typing import Any

from mesos_twisted.election.zookeeper import ZooKeeperElector, _Look
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.sim.zoo.planted import PlantedBug, swap
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core import events as e
from mesos_twisted.zookeeper.core.session import Session, _Connection
from mesos_twisted.zookeeper.core.watches import Watches
from mesos_twisted.zookeeper.errors import ConnectionLostError
from mesos_twisted.zookeeper.net.client import ZooKeeperClient
from mesos_twisted.zookeeper.net.connection import Connection

AREA = "zookeeper"

_greeted = Session._greeted
_drop = Connection.drop
_once = _Look._once


def _hears_all(self: ZooKeeperClient, event: e.Event, connection: Connection | None = None) -> None:
    """Whatever a connection says is heard, also when another has taken its place."""
    self._queue.append((None, event))
    if self._busy:
        return
    self._busy = True
    try:
        while self._queue:
            for effect in self._session.handle(self._queue.popleft()[1]):
                self._perform(effect)
    finally:
        self._busy = False
    self._arm()


def _drops_and_listens(self: Connection) -> None:
    """A connection that is ended may say so."""
    owner = self._owner
    _drop(self)
    self._owner = owner


async def _finds_nothing(
    self: ZooKeeperElector, client: ZooKeeperClient, candidate: m.MasterInfo
) -> str | None:
    """A create that was not answered has not happened."""
    return None


def _never_armed_again(self: Watches, zxid: int) -> list[r.SetWatches]:
    """The next server knows of the watches too."""
    return []


async def _looks_once(self: _Look) -> None:
    """A lost connection ends the look; the watch will tell."""
    try:
        await _once(self)
    except ConnectionLostError:
        pass


def _leaves_waiting_behind(
    self: Session, link: _Connection, said: r.ConnectResponse, now: float
) -> list[e.Effect]:
    """Calls made while there was no connection are not of the new one."""
    if self.session_id:
        self._waiting.clear()
    return _greeted(self, link, said, now)


def _servers_clock_only(self: Session, at: float) -> None:
    """That a session is over is the servers' word alone."""


def _any_session(
    self: Session, link: _Connection, said: r.ConnectResponse, now: float
) -> list[e.Effect]:
    """A session that is gone is replaced by a new one, which has no watches."""
    gone: Any = said.timeout_ms <= 0 or said.session_id == 0
    if gone and self.session_id:
        self.session_id, self._password = 0, bytes(16)
        self._watches = Watches()
        return self._give_up(now, "another session is begun")
    return _greeted(self, link, said, now)


BUGS = (
    PlantedBug(
        "old-connections-are-heard",
        AREA,
        "what a connection of an earlier time still says is taken for the present one's",
        swap((ZooKeeperClient, "_hear", _hears_all), (Connection, "drop", _drops_and_listens)),
        (1265,),
    ),
    PlantedBug(
        "second-node-in-the-election",
        AREA,
        "a master whose create was not answered makes another node, and its stale one leads",
        swap((ZooKeeperElector, "_find_own", _finds_nothing)),
        (422,),
    ),
    PlantedBug(
        "watches-left-behind",
        AREA,
        "after a reconnection to another server nobody tells when the leader changes",
        swap((Watches, "rearm", _never_armed_again)),
        (299,),
    ),
    PlantedBug(
        "looking-ends-with-the-connection",
        AREA,
        "a connection lost while the leader is looked for ends the looking",
        swap((_Look, "_once", _looks_once)),
        (9426,),
    ),
    PlantedBug(
        "first-calls-lost-after-a-partition",
        AREA,
        "what was asked during a partition is never sent when it is over",
        swap((Session, "_greeted", _leaves_waiting_behind)),
        (5576,),
    ),
    PlantedBug(
        "own-clock-ignored",
        AREA,
        "the session's time-out is not kept by the client: a master that is cut off leads on",
        swap((Session, "_alive", _servers_clock_only)),
        (7387, 7895),
    ),
    PlantedBug(
        "session-replaced-in-silence",
        AREA,
        "a session that ended is replaced by a new one, and nobody hears that its nodes are gone",
        swap((Session, "_greeted", _any_session)),
    ),
)
