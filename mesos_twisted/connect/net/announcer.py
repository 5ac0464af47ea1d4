"""Keeps a connector's node in ZooKeeper, so that unmodified clients find it by `zk://`.

The node is ephemeral: it goes with the connector. When the session is lost, or somebody takes the
node away, another is made. What stands in the way at first is told and final; what comes later is
logged and tried again.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mesos_twisted.clock import Timers, backoff
from mesos_twisted.connect.core.announcement import objection
from mesos_twisted.election.membership import PREFIX, encode_info, same_master
from mesos_twisted.election.sessions import Connect, Sessions
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.errors import (
    AnswerError,
    ConnectionLostError,
    NoNodeError,
    SessionEndedError,
)
from mesos_twisted.zookeeper.net.client import ZooKeeperClient
from mesos_twisted.zookeeper.net.paths import make_path

_log = Logger()
_AGAIN_BASE_S = 0.5
_AGAIN_CAP_S = 10.0


class Announcer:
    """`refused(sentence)` is called when the path is of no use for it; nothing follows then.

    `acl` is what its node, and the path if it is not there, are made with.
    """

    def __init__(
        self,
        connect: Connect,
        path: str,
        acl: tuple[r.Acl, ...],
        timers: Timers,
        info: m.MasterInfo,
        refused: Callable[[str], object],
    ) -> None:
        self._path = path
        self._acl = acl
        self._timers = timers
        self._info = info
        self._refused = refused
        self._sessions = Sessions(connect, timers, lambda: None, self._begin, "--announce")
        self._own: str | None = None
        self._stopped = False
        self._failures = 0

    @property
    def node(self) -> str | None:
        """The path of the node it made last, if it made one."""
        return self._own

    def start(self) -> None:
        """Announce, and stay announced."""
        self._begin()

    def stop(self) -> Deferred[None]:
        """Fires when the node has gone, or cannot be taken away for want of a connection."""
        self._stopped = True
        return self._sessions.stop()

    def _begin(self) -> None:
        if not self._stopped:
            self._look(self._sessions.make())

    def _look(self, client: ZooKeeperClient) -> None:
        if self._is_current(client):
            done = Deferred.fromCoroutine(self._run(client))
            done.addErrback(lambda failure: _log.failure("Announcing failed", failure))

    def _is_current(self, client: ZooKeeperClient) -> bool:
        return not self._stopped and client is self._sessions.client

    async def _run(self, client: ZooKeeperClient) -> None:
        """Afterwards our node is there, and we hear when it goes."""
        while self._is_current(client):
            try:
                if await self._once(client):
                    return
            except (ConnectionLostError, NoNodeError):
                continue
            except SessionEndedError:
                return
            except AnswerError as error:
                advice = "."
                if error.code == r.Code.NO_AUTH:
                    advice = ": it belongs to another identity; see --announce and --zk_acl"
                self._later(client, f"Cannot announce at {self._path}: {error}{advice}")
                return

    async def _once(self, client: ZooKeeperClient) -> bool:
        path = self._path
        await make_path(client, path, self._acl)
        # A create without an answer may have made a node after all.
        await client.sync(path)
        own, others = None, {}
        for name in (await client.children(path)).children:
            node = await client.get(f"{path}/{name}")
            if node.stat.ephemeral_owner == client.session_id and same_master(
                self._info, node.data
            ):
                own = name
            else:
                others[name] = node.data
        if own is None:
            problem = objection(path, self._info, others)
            if problem is not None:
                self._object(client, problem)
                return True
            made = await client.create(
                f"{path}/{PREFIX}",
                encode_info(self._info),
                self._acl,
                ephemeral=True,
                sequential=True,
            )
            own = made.rpartition("/")[2]
        if await client.exists(f"{path}/{own}", lambda event: self._look(client)) is None:
            return False
        self._own = f"{path}/{own}"
        self._failures = 0
        _log.info("Announced in ZooKeeper as {node}", node=self._own)
        return True

    def _object(self, client: ZooKeeperClient, problem: str) -> None:
        if self._stopped:
            return
        if self._own is not None:
            self._later(client, problem)
        else:
            self._refused(problem)

    def _later(self, client: ZooKeeperClient, problem: str) -> None:
        if self._is_current(client):
            wait = backoff(self._failures, _AGAIN_BASE_S, _AGAIN_CAP_S, 0.5)
            self._failures += 1
            _log.error("{problem}", problem=problem)
            self._timers.after(wait, self._look, client)
