"""Election in ZooKeeper, byte for byte as Mesos does it: a contender and a detector.

Both look the same way: `_Look` reads the children of the path with a watch left, takes the lowest
number, and reads that node. Whatever happens meanwhile (a watch fires, an answer is lost, the node
is gone before it was read) makes it look again. A session that has ended is replaced by a new one,
except that of a leader: it says that nobody leads, and its process must end.

A contender whose create was not answered looks for its own node before it makes another: a second
one would be an heir of its own that nobody serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mesos_twisted.clock import Timer, Timers, backoff
from mesos_twisted.election.contenders import Contenders
from mesos_twisted.election.interfaces import Contending
from mesos_twisted.election.membership import (
    PREFIX,
    Member,
    decode_info,
    encode_info,
    leader,
    members,
    same_master,
)
from mesos_twisted.election.sessions import Connect, Sessions
from mesos_twisted.errors import MalformedError
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

#: Hears of each look: the names below the path, the leading member if any, and its node's data.
Seen: TypeAlias = Callable[[Sequence[str], Member | None, bytes], object]

_log = Logger()

#: Waiting before asking again what a server refused, in seconds.
_AGAIN_BASE_S = 0.5
_AGAIN_CAP_S = 10.0


class _Look:
    """Looks again and again who leads, on one session, until its session ends or `stop`."""

    def __init__(self, client: ZooKeeperClient, timers: Timers, path: str, seen: Seen) -> None:
        self._client = client
        self._timers = timers
        self._path = path
        self._seen = seen
        self._looking = False
        self._again = False
        self._stopped = False
        self._failures = 0
        self._synced = False
        self._timer: Timer | None = None

    def start(self) -> None:
        """Look; the next look follows the next change."""
        if self._stopped:
            return
        if self._looking:
            self._again = True
            return
        self._looking = True
        done = Deferred.fromCoroutine(self._run())
        done.addErrback(lambda failure: _log.failure("Looking for the leader failed", failure))

    def stop(self) -> None:
        """Nothing more is seen."""
        self._stopped = True
        self._client.unwatch(self._changed)
        if self._timer is not None:
            self._timer.cancel()

    def _changed(self, event: r.WatchEvent) -> None:
        self.start()

    async def _run(self) -> None:
        try:
            self._again = True
            while self._again and not self._stopped:
                self._again = False
                try:
                    await self._once()
                    self._failures = 0
                except (ConnectionLostError, NoNodeError):
                    # The next connection answers; a leader that went was the last but one.
                    self._again = True
        except SessionEndedError:
            pass
        except AnswerError as error:
            wait = backoff(self._failures, _AGAIN_BASE_S, _AGAIN_CAP_S, 0.5)
            self._failures += 1
            _log.warn("{path} cannot be read: {error}", path=self._path, error=str(error))
            if not self._stopped:
                self._timer = self._timers.after(wait, self.start)
        finally:
            self._looking = False

    async def _once(self) -> None:
        client, path = self._client, self._path
        if not self._synced:
            # A new session may begin at a server that lags behind. Answers come in order, so this
            # need not be waited for by itself.
            await client.sync(path)
            self._synced = True
        try:
            found = await client.children(path, self._changed)
        except NoNodeError:
            if await client.exists(path, self._changed) is not None:
                self._again = True
                return
            self._tell((), None, b"")
            return
        member = leader(found.children)
        data = b""
        if member is not None:
            data = (await client.get(f"{path}/{member.name}")).data
        self._tell(found.children, member, data)

    def _tell(self, names: Sequence[str], member: Member | None, data: bytes) -> None:
        # What changed meanwhile is seen in the next look, which is due already.
        if not self._stopped:
            self._seen(names, member, data)


class ZooKeeperDetector:
    """Tells who leads, to those who never will. Passes as a `Detector`."""

    def __init__(self, connect: Connect, path: str, timers: Timers) -> None:
        self._path = path
        self._timers = timers
        self._sessions = Sessions(connect, timers, self._ended, self._begin)
        self._look: _Look | None = None
        self._known: m.MasterInfo | None = None
        self._changed: Callable[[m.MasterInfo | None], None] = lambda info: None
        self._contenders: Contenders | None = None

    def start(
        self,
        changed: Callable[[m.MasterInfo | None], None],
        contending: Contending | None = None,
    ) -> None:
        """`changed(leader)` is called with each change; at first no leader is known."""
        self._changed = changed
        if contending is not None:
            self._contenders = Contenders(self._path, contending)
        self._begin()

    def stop(self) -> Deferred[None]:
        """Fires when nothing is left."""
        if self._look is not None:
            self._look.stop()
        return self._sessions.stop()

    def _begin(self) -> None:
        client = self._sessions.make()
        self._look = _Look(client, self._timers, self._path, self._seen)
        self._look.start()

    def _ended(self) -> None:
        if self._look is not None:
            self._look.stop()
        self._tell(None)

    def _seen(self, names: Sequence[str], member: Member | None, data: bytes) -> None:
        self._tell(_info(self._path, member, data))
        if self._contenders is not None and self._sessions.client is not None:
            self._contenders.seen(self._sessions.client, names)

    def _tell(self, info: m.MasterInfo | None) -> None:
        if info != self._known:
            self._known = info
            self._changed(info)


class ZooKeeperElector:
    """Contends for one master. Passes as an `Elector`.

    `acl` is what its node, and the path if it is not there, are made with.
    """

    def __init__(self, connect: Connect, path: str, acl: tuple[r.Acl, ...], timers: Timers) -> None:
        self._path = path
        self._acl = acl
        self._timers = timers
        self._sessions = Sessions(connect, timers, self._ended, self._begin)
        self._look: _Look | None = None
        self._candidate: m.MasterInfo | None = None
        self._own: str | None = None
        self._known: tuple[m.MasterInfo | None, bool] = (None, False)
        self._changed: Callable[[m.MasterInfo | None, bool], None] = lambda info, is_us: None
        self._led = False
        self._stopped = False
        self._failures = 0

    @property
    def node(self) -> str:
        """The path of our node; of none that ever is, while we have none."""
        return f"{self._path}/{self._own or PREFIX}"

    def start(
        self, candidate: m.MasterInfo, changed: Callable[[m.MasterInfo | None, bool], None]
    ) -> None:
        """Begin to contend."""
        self._candidate = candidate
        self._changed = changed
        self._begin()

    def stop(self) -> Deferred[None]:
        """Fires when the node has gone, or cannot be taken away for want of a connection."""
        self._stopped = True
        if self._look is not None:
            self._look.stop()
        return self._sessions.stop()

    def _begin(self) -> None:
        # A master that led is told to stop, and must not contend as if nothing had been.
        if self._stopped or self._led:
            return
        client = self._sessions.make()
        self._look = _Look(client, self._timers, self._path, self._seen)
        self._contend(client)

    def _ended(self) -> None:
        if self._look is not None:
            self._look.stop()
        self._own = None
        self._tell(None, False)

    def _contend(self, client: ZooKeeperClient) -> None:
        done = Deferred.fromCoroutine(self._join(client))
        done.addErrback(lambda failure: _log.failure("Contending failed", failure))

    async def _join(self, client: ZooKeeperClient) -> None:
        """Afterwards our node is there; then who leads is looked for."""
        candidate, path = self._candidate, self._path
        assert candidate is not None
        unsure = False
        while self._is_current(client):
            try:
                if unsure:
                    self._own = await self._find_own(client, candidate)
                    unsure = False
                if self._own is None:
                    await make_path(client, path, self._acl)
                    unsure = True
                    made = await client.create(
                        f"{path}/{PREFIX}",
                        encode_info(candidate),
                        self._acl,
                        ephemeral=True,
                        sequential=True,
                    )
                    self._own = made.rpartition("/")[2]
            except (ConnectionLostError, NoNodeError):
                continue
            except SessionEndedError:
                return
            except AnswerError as error:
                self._refused(client, error)
                return
            self._failures = 0
            _log.info("Contending in ZooKeeper as {node}", node=f"{path}/{self._own}")
            if self._look is not None and self._is_current(client):
                self._look.start()
            return

    async def _find_own(self, client: ZooKeeperClient, candidate: m.MasterInfo) -> str | None:
        """The node that a create without an answer has made after all."""
        await client.sync(self._path)
        found = await client.children(self._path)
        for member in members(found.children):
            try:
                node = await client.get(f"{self._path}/{member.name}")
            except NoNodeError:
                continue
            ours = node.stat.ephemeral_owner == client.session_id
            if ours and same_master(candidate, node.data):
                return member.name
        return None

    def _refused(self, client: ZooKeeperClient, error: AnswerError) -> None:
        wait = backoff(self._failures, _AGAIN_BASE_S, _AGAIN_CAP_S, 0.5)
        self._failures += 1
        advice = "."
        if error.code == r.Code.NO_AUTH:
            advice = (
                ": its nodes belong to another identity; give all masters the same credentials in "
                "--zk, or list them all in --zk_acl before the nodes are made"
            )
        _log.error(
            "Cannot contend at {path}: {error}{advice}",
            path=self._path,
            error=str(error),
            advice=advice,
        )
        self._timers.after(wait, self._contend_again, client)

    def _contend_again(self, client: ZooKeeperClient) -> None:
        if self._is_current(client):
            self._contend(client)

    def _is_current(self, client: ZooKeeperClient) -> bool:
        return not self._stopped and client is self._sessions.client

    def _seen(self, names: Sequence[str], member: Member | None, data: bytes) -> None:
        if member is not None and member.name == self._own:
            self._led = True
            self._tell(self._candidate, True)
            return
        self._tell(_info(self._path, member, data), False)
        client, own = self._sessions.client, self._own
        # Without one we are about to make it.
        if own is not None and own not in names and not self._led and client is not None:
            _log.warn("Someone took our node {node} away", node=f"{self._path}/{own}")
            self._own = None
            self._contend(client)

    def _tell(self, info: m.MasterInfo | None, is_us: bool) -> None:
        if (info, is_us) != self._known and not self._stopped:
            self._known = (info, is_us)
            self._changed(info, is_us)


def _info(path: str, member: Member | None, data: bytes) -> m.MasterInfo | None:
    if member is None:
        return None
    try:
        return decode_info(member, data)
    except MalformedError as error:
        _log.error(
            "The leader at {path} cannot be understood: {error}", path=path, error=str(error)
        )
        return None
