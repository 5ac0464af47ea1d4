"""One server of a simulated ZooKeeper ensemble: its clients, its tree, its part in the agreement.

The agreement is ZooKeeper's without its packets. A follower hands writes to the leader; the leader
numbers them, waits until a majority has them, executes them in order and tells everybody up to
which entry of the log to apply; the follower answers its client when it has applied that far. What
a majority has is never lost (the log is the ensemble's), what it has not may be. Servers speak over
the links between their nodes, so cuts, latency, pauses and dead machines mean what they should.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import SimNetwork, SimNode
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.zk_acl import Identity
from mesos_twisted.testing.sim.zk_connection import PASSWORD_BYTES, Answer, ClientConnection
from mesos_twisted.testing.sim.zk_tree import Began, Change, Ended, Refusal, Tree
from mesos_twisted.testing.sim.zk_watches import Watches
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.records import Code


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed step of the log."""

    zxid: int
    time_ms: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A new session is wanted."""

    session: int
    timeout_ms: int


Proposal: TypeAlias = "tuple[ZkServer, r.Request | Begin, int, tuple[Identity, ...], Answer]"


class Ensemble(Protocol):
    """What a server needs of the others."""

    clock: SimClock
    network: SimNetwork
    servers: list[ZkServer]
    log: list[Entry]
    tick_s: float
    min_timeout_s: float
    max_timeout_s: float
    majority: int

    def fresh_session(self, server: ZkServer) -> int:
        """A session's number, never given before."""
        ...

    def password(self, session: int) -> bytes:
        """What proves that a session is one's own."""
        ...

    def accept(self, server: ZkServer) -> None:
        """Make it listen."""


class _Wire:
    """The way from one server to another, in order."""

    def __init__(self, target: ZkServer) -> None:
        self._target = target
        self.last_arrival = self.repeated_at = 0.0

    def arrive(self, what: Any) -> None:
        """The process hears of it when it runs; what was meant for an earlier one is lost."""
        process: SimReactor = what[0]
        function, arguments = what[1:]
        if process is self._target.process and process.alive and process.node.up:
            process.callLater(0, function, *arguments)

    def stalled(self, now: float) -> None:
        """The ensemble looks after its own time-outs."""

    def refused(self) -> None:
        """Lost."""


class ZkServer:
    """A server; `number` counts from 1. It is `looking` until it leads or follows."""

    def __init__(self, ensemble: Ensemble, number: int, node: SimNode) -> None:
        self.ensemble = ensemble
        self.number = number
        self.node = node
        self.process: SimReactor | None = None
        self.tree = Tree()
        self.applied = 0
        #: The server it follows, itself when it leads, None when it is looking.
        self.leader: ZkServer | None = None
        self.epoch = 0
        #: Counts its times of following, so that what was under way in an earlier one is void.
        self.peering = 0
        self.seen_at = 0.0
        #: Faults: commits are applied so much later; answers to so many writes are lost.
        self.lag_s = 0.0
        self.lose_answers = 0
        self.lose_only: Callable[[r.Request], bool] | None = None
        self.connections: dict[ClientConnection, None] = {}
        self._by_session: dict[int, ClientConnection] = {}
        self._watches = Watches()
        self._wires: dict[int, _Wire] = {}
        self._touched: dict[int, None] = {}
        # When it leads:
        self._proposals: deque[tuple[int, Proposal]] = deque()
        self._proposed = 0
        self._acks: dict[int, int] = {}
        self._counter = 0
        self._owners: dict[int, int] = {}
        self._deadlines: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<ZkServer {self.node.name} {self.mode or 'looking'}>"

    @property
    def mode(self) -> str:
        """`standalone`, `leader`, `follower`; empty while it does not serve."""
        if self.leader is None:
            return ""
        if len(self.ensemble.servers) == 1:
            return "standalone"
        return "leader" if self.leader is self else "follower"

    @property
    def running(self) -> bool:
        """Whether its process lives and is not paused."""
        return self.process is not None and self.process.alive and not self.process.paused

    # Its life

    def start(self) -> None:
        """A new process, that knows what was committed when the last one ended."""
        self.process = SimReactor(self.node, f"{self.node.name}/zookeeper")
        self.leader = None
        self._forget()
        self.ensemble.accept(self)
        self.process.callLater(self.ensemble.tick_s / 2, self._tick)

    def _forget(self) -> None:
        self.connections.clear()
        self._by_session.clear()
        self._watches.clear()
        self._touched.clear()

    def lead(self, epoch: int) -> None:
        """It leads; sessions have their whole time again."""
        self.leader, self.epoch = self, epoch
        self.peering += 1
        self._counter = 0
        self._proposals.clear()
        self._acks = {self.number: 0}
        self._proposed = 0
        self._owners.clear()
        self._apply(len(self.ensemble.log))
        self._deadlines.clear()
        for session in self.tree.sessions:
            self._touch(session)

    def follow(self, leader: ZkServer) -> None:
        """It follows, and knows what the leader knows."""
        self.leader, self.epoch = leader, leader.epoch
        self.peering += 1
        # New connections: what was repeated on the old ones holds nothing up.
        self._wires.pop(leader.number, None)
        leader._wires.pop(self.number, None)
        self._apply(leader.applied)
        # What the leader has proposed so far reaches it with its peers' next proposal.
        leader._acks[self.number] = 0
        for number, _ in leader._proposals:
            leader._send(self, self._propose, leader.epoch, self.peering, number)

    def look(self) -> None:
        """It has lost the leader, or its majority: clients are sent away."""
        self.leader = None
        self._proposals.clear()
        for connection in tuple(self.connections):
            connection.abort()
        self._forget()

    # Server, for its connections

    @property
    def serving(self) -> bool:
        """Whether it leads or follows."""
        return self.leader is not None

    def connecting(self, connection: ClientConnection, request: r.ConnectRequest) -> None:
        """Make a session or find one again."""
        ensemble, session = self.ensemble, request.session_id
        if not self.serving or request.last_zxid_seen > self.tree.zxid:
            # Another server may know what this client has seen.
            connection.close()
            return
        self.connections[connection] = None
        least, most = (int(s * 1000) for s in (ensemble.min_timeout_s, ensemble.max_timeout_s))
        timeout = min(max(request.timeout_ms, least), most)
        if not session:
            session = ensemble.fresh_session(self)
            self._hand_over(
                Begin(session, timeout),
                session,
                (),
                lambda zxid, error, reply: self._joined(connection, session, timeout),
            )
            return
        older = self._by_session.pop(session, None)
        if older is not None and older is not connection:
            older.close()
        if request.password != ensemble.password(session):
            self._joined(connection, 0, 0)
            return
        self._ask_leader("find", session, timeout, connection)

    def _joined(self, connection: ClientConnection, session: int, timeout_ms: int) -> None:
        if connection not in self.connections:
            return
        if session:
            self._by_session[session] = connection
            self._touched[session] = None
        password = self.ensemble.password(session) if session else bytes(PASSWORD_BYTES)
        connection.joined(r.ConnectResponse(timeout_ms if session else 0, session, password))

    def write(self, connection: ClientConnection, request: r.Request, done: Answer) -> None:
        """Hand it to the leader."""
        if isinstance(request, r.Sync):
            self._ask_leader("sync", request, done)
        else:
            who = tuple(connection.identities)
            self._hand_over(request, connection.session, who, done)

    def heard(self, connection: ClientConnection) -> None:
        """Told to the leader twice a tick."""
        if self.leader is self:
            self._touch(connection.session)
        else:
            self._touched[connection.session] = None

    def watch(self, connection: ClientConnection, path: str, children: bool) -> None:
        """One watch of each kind for each connection and path."""
        self._watches.leave(connection, path, children)

    def loses(self, request: r.Request) -> bool:
        """Count down `lose_answers`."""
        if self.lose_answers and (self.lose_only is None or self.lose_only(request)):
            self.lose_answers -= 1
            return True
        return False

    def gone(self, connection: ClientConnection) -> None:
        """Its watches go with it, its session does not."""
        self.connections.pop(connection, None)
        if self._by_session.get(connection.session) is connection:
            del self._by_session[connection.session]
        self._watches.drop(connection)

    # To the leader and back

    def _send(self, target: ZkServer, function: Callable[..., object], *arguments: Any) -> None:
        """`function(*arguments)` is called in the target's process, behind what was sent before."""
        process = target.process
        if process is None:
            return
        if target is self:
            process.callLater(0, function, *arguments)
            return
        wire = self._wires.get(target.number)
        if wire is None:
            wire = self._wires[target.number] = _Wire(target)
        link = self.ensemble.network.link(self.node, target.node)
        link.carry(wire, (process, function, arguments), 100)

    def _hand_over(
        self,
        request: r.Request | Begin,
        session: int,
        who: tuple[Identity, ...],
        done: Answer,
    ) -> None:
        leader = self.leader
        if leader is not None:
            proposal = (self, request, session, who, done)
            self._send(leader, leader._handed_over, self.epoch, self.peering, proposal)

    def _ask_leader(self, what: str, *arguments: Any) -> None:
        leader = self.leader
        if leader is not None:
            self._send(leader, leader._asked, self.epoch, self.peering, self, what, arguments)

    def _valid(self, source: ZkServer, epoch: int, peering: int) -> bool:
        """Whether this leads, and the message is of the source's present peering with it."""
        return self.leader is self and self.epoch == epoch and source.peering == peering

    def _asked(
        self, epoch: int, peering: int, source: ZkServer, what: str, arguments: tuple[Any, ...]
    ) -> None:
        if not self._valid(source, epoch, peering):
            return
        if what == "touch":
            for session in arguments[0]:
                self._touch(session)
        elif what == "find":
            session, timeout, connection = arguments
            found = session in self.tree.sessions
            if found:
                self._owners[session] = source.number
                self._touch(session)
            back = (connection, session if found else 0, timeout)
            self._send(source, source._applied, epoch, peering, self.applied, source._joined, back)
        else:
            request, done = arguments
            # Behind what is proposed already, as ZooKeeper's leader has it; no majority is asked.
            if self._proposals:
                proposal = (source, request, 0, (), done)
                self._proposals.append((self._proposals[-1][0], proposal))
            else:
                self._answer_sync(source, request, done)

    def _answer_sync(self, source: ZkServer, request: r.Sync, done: Answer) -> None:
        back = (self.tree.zxid, Code.OK, r.Synced(request.path))
        peering = source.peering
        self._send(source, source._applied, self.epoch, peering, self.applied, done, back)

    def _handed_over(self, epoch: int, peering: int, proposal: Proposal) -> None:
        if not self._valid(proposal[0], epoch, peering):
            return
        self._proposed += 1
        self._proposals.append((self._proposed, proposal))
        self._acks[self.number] = self._proposed
        for server in self.ensemble.servers:
            if server is not self and server.leader is self:
                self._send(server, server._propose, epoch, server.peering, self._proposed)
        self._commit()

    def _propose(self, epoch: int, peering: int, number: int) -> None:
        """It is on this follower's disk now."""
        leader = self.leader
        if leader is not None and self.epoch == epoch and self.peering == peering:
            self._send(leader, leader._acknowledged, epoch, peering, self, number)

    def _acknowledged(self, epoch: int, peering: int, source: ZkServer, number: int) -> None:
        if self._valid(source, epoch, peering):
            self._acks[source.number] = max(number, self._acks.get(source.number, 0))
            self._commit()

    def _commit(self) -> None:
        """Execute what a majority has."""
        while self._proposals:
            number, proposal = self._proposals[0]
            holders = sum(1 for acked in self._acks.values() if acked >= number)
            if holders < self.ensemble.majority:
                return
            self._proposals.popleft()
            self._execute(*proposal)

    def _execute(
        self,
        source: ZkServer,
        request: r.Request | Begin,
        session: int,
        who: tuple[Identity, ...],
        done: Answer,
    ) -> None:
        if isinstance(request, r.Sync):
            self._answer_sync(source, request, done)
            return
        process = self.process
        assert process is not None
        self._counter += 1
        zxid = self.epoch << 32 | self._counter
        time_ms = int(process.seconds() * 1000)
        error, reply, changes = Code.OK, None, list[Change]()
        try:
            if isinstance(request, Begin):
                changes = [Began(request.session, request.timeout_ms)]
                self.tree.replay(changes, zxid, time_ms)
                self._owners[session] = source.number
                self._touch(session)
            else:
                if session:
                    self._check_session(session, source, request)
                reply, changes = self.tree.execute(request, session, who, zxid, time_ms)
        except Refusal as refusal:
            error = refusal.code
            self.tree.replay((), zxid, time_ms)
        self.ensemble.log.append(Entry(zxid, time_ms, tuple(changes)))
        self.applied = len(self.ensemble.log)
        self.ensemble.clock.note(self.node.name, f"zxid {zxid:x} {error}")
        self._watches.tell(changes)
        epoch, index = self.epoch, self.applied
        for server in self.ensemble.servers:
            if server is self or server.leader is not self:
                continue
            answer = (done, (zxid, error, reply)) if server is source else (None, ())
            self._send(server, server._applied, epoch, server.peering, index, *answer)
        if source is self:
            done(zxid, error, reply)
        self._close_ended(changes)

    def _check_session(self, session: int, source: ZkServer, request: r.Request) -> None:
        if session not in self.tree.sessions:
            raise Refusal(Code.SESSION_EXPIRED)
        if self._owners.setdefault(session, source.number) != source.number and not isinstance(
            request, r.CloseSession
        ):
            raise Refusal(Code.SESSION_MOVED)

    def _applied(
        self,
        epoch: int,
        peering: int,
        index: int,
        done: Callable[..., object] | None = None,
        arguments: tuple[Any, ...] = (),
    ) -> None:
        """The leader's word: apply up to here, then tell whoever waits."""
        if self.lag_s and self.leader is not self and self.process is not None:
            self.process.callLater(self.lag_s, self._apply_now, peering, index, done, arguments)
        else:
            self._apply_now(peering, index, done, arguments)

    def _apply_now(
        self,
        peering: int,
        index: int,
        done: Callable[..., object] | None,
        arguments: tuple[Any, ...],
    ) -> None:
        if self.leader is None or self.peering != peering:
            return
        before = self.applied
        self._apply(index)
        if done is not None:
            done(*arguments)
        for entry in self.ensemble.log[before : self.applied]:
            self._close_ended(entry.changes)

    def _apply(self, index: int) -> None:
        while self.applied < index:
            entry = self.ensemble.log[self.applied]
            self.applied += 1
            self.tree.replay(entry.changes, entry.zxid, entry.time_ms)
            self._watches.tell(entry.changes)

    # To its clients

    def _close_ended(self, changes: list[Change] | tuple[Change, ...]) -> None:
        for change in changes:
            if isinstance(change, Ended):
                connection = self._by_session.pop(change.session, None)
                if connection is not None:
                    connection.close()
                self._owners.pop(change.session, None)
                self._deadlines.pop(change.session, None)

    # Sessions' time

    def _touch(self, session: int) -> None:
        timeout_ms = self.tree.sessions.get(session)
        if timeout_ms is not None and self.process is not None:
            tick = self.ensemble.tick_s
            # ZooKeeper looks once a tick, so a session lives up to one tick longer.
            due = self.process.seconds() + timeout_ms / 1000
            self._deadlines[session] = (due // tick + 1) * tick

    def _tick(self) -> None:
        process = self.process
        assert process is not None
        process.callLater(self.ensemble.tick_s / 2, self._tick)
        if self.leader is not None and self.leader is not self:
            if self._touched:
                touched, self._touched = tuple(self._touched), {}
                self._ask_leader("touch", touched)
        elif self.leader is self:
            now = process.seconds()
            for session, due in list(self._deadlines.items()):
                if due <= now:
                    del self._deadlines[session]
                    self.expire(session)

    def serves(self, session: int) -> bool:
        """Is the session's client connected here?"""
        return session in self._by_session

    def administer(self, request: r.Request) -> None:
        """Somebody with every right asks for it, when this leads."""
        self._hand_over(request, 0, (), lambda zxid, error, reply: None)

    def expire(self, session: int) -> None:
        """End a session, when this leads."""
        self._hand_over(r.CloseSession(), session, (), lambda zxid, error, reply: None)
