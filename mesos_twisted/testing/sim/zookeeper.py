"""A simulated ZooKeeper ensemble of 1 to 3 servers: real bytes to its clients, faults on request.

    ensemble = SimZooKeeper(network, [node, node, node])    serves after its first election
    ensemble.servers[0].kill(); .restart()      ensemble.pause(server); .resume(server)
    ensemble.elect()                            another server leads
    ensemble.expire(session_id)                 as if its client had been silent
    server.lose_answers = 1                     the next write happens, its answer is lost
    server.lag_s = 5.0                          what it tells its clients is so old
    ensemble.disconnect(server)                 its clients' connections break

Cuts and power cuts of the nodes (`net`) divide it as they would the real one: who has no majority
stops serving after `lost_s`; a majority elects the server that knows most. Every `sync` asks the
leader, and like the real one the leader asks nobody, so just after a partition it may be deposed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory

from mesos_twisted.errors import BugError
from mesos_twisted.testing.sim.net import SimNetwork, SimNode
from mesos_twisted.testing.sim.zk_connection import PASSWORD_BYTES, ClientConnection
from mesos_twisted.testing.sim.zk_server import Entry, ZkServer
from mesos_twisted.transport.listen import listen_plain, listen_tls
from mesos_twisted.transport.tls import IContextSource
from mesos_twisted.transport.tls_factory import HTTP

PORT: Final = 2181
_LOOK_S: Final = 0.25


class _Clients(ServerFactory):
    noisy = False

    def __init__(self, server: ZkServer) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection:
        return ClientConnection(self._server)


class SimZooKeeper:
    """The servers, and what a majority of them has agreed on.

    `contexts` (one for each server) make it speak TLS alone; clients' certificates are then
    identities of the scheme x509. Times are ZooKeeper's own names: a tick, the bounds of sessions'
    time-outs (2 and 20 ticks unless told), and `lost_s` after which servers give each other up.
    """

    def __init__(
        self,
        network: SimNetwork,
        nodes: Sequence[SimNode],
        *,
        port: int = PORT,
        tick_s: float = 2.0,
        min_timeout_s: float | None = None,
        max_timeout_s: float | None = None,
        lost_s: float = 4.0,
        contexts: Sequence[IContextSource] | None = None,
    ) -> None:
        if not 1 <= len(nodes) <= 3:
            raise BugError(f"An ensemble has 1 to 3 servers here, not {len(nodes)}")
        self.network = network
        self.clock = network.clock
        self.port = port
        self.tick_s = tick_s
        self.min_timeout_s = 2 * tick_s if min_timeout_s is None else min_timeout_s
        self.max_timeout_s = 20 * tick_s if max_timeout_s is None else max_timeout_s
        self.lost_s = lost_s
        self.majority = len(nodes) // 2 + 1
        self.log: list[Entry] = []
        self.epoch = 0
        self.servers: list[ZkServer] = []
        self._contexts = contexts
        self._sessions = 0
        self._random = self.clock.random("zookeeper")
        self._barred: ZkServer | None = None
        self._election_at: float | None = None
        for number, node in enumerate(nodes, 1):
            self.servers.append(ZkServer(self, number, node))
        for server in self.servers:
            server.start()
        self._look()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where clients connect."""
        return tuple((server.node.address, self.port) for server in self.servers)

    @property
    def hosts(self) -> str:
        """The same, as in a `zk://` URL."""
        return ",".join(f"{host}:{port}" for host, port in self.addresses)

    @property
    def leader(self) -> ZkServer | None:
        """Who leads a majority, as far as anybody knows."""
        leading = [server for server in self.servers if server.leader is server and server.running]
        return max(leading, key=lambda server: server.epoch, default=None)

    @property
    def serving(self) -> bool:
        """Whether there is a leader and all who run follow it."""
        leader = self.leader
        return leader is not None and all(
            server.leader is leader for server in self.servers if server.running
        )

    # Faults

    def kill(self, server: ZkServer) -> None:
        """SIGKILL; what it had committed stays."""
        if server.process is not None:
            server.process.kill()
        server.look()
        server.process = None

    def restart(self, server: ZkServer) -> None:
        """Start one that was killed, or lost its power."""
        if server.process is not None and server.process.alive:
            raise BugError(f"{server} runs already")
        server.start()

    def pause(self, server: ZkServer) -> None:
        """SIGSTOP."""
        if server.process is not None:
            server.process.pause()

    def resume(self, server: ZkServer) -> None:
        """SIGCONT."""
        if server.process is not None:
            server.process.resume()

    def disconnect(self, server: ZkServer) -> None:
        """Every client of it loses its connection."""
        for connection in tuple(server.connections):
            connection.abort()

    def elect(self) -> None:
        """The leader gives up; another leads if there is one."""
        leader = self.leader
        if leader is not None:
            self._barred = leader
            self._depose(leader)

    def expire(self, session: int) -> None:
        """End a session, as the leader does when its time is over."""
        leader = self.leader
        if leader is None:
            raise BugError("Nobody leads, so no session can expire")
        leader.expire(session)

    # Ensemble, for the servers

    def fresh_session(self, server: ZkServer) -> int:
        """As ZooKeeper's: the server's number in front."""
        self._sessions += 1
        return server.number << 56 | 0x1000_0000 + self._sessions

    def password(self, session: int) -> bytes:
        """Always the same for one session."""
        said = f"{self.clock.seed} {session}".encode()
        return hashlib.blake2b(said, digest_size=PASSWORD_BYTES).digest()

    def accept(self, server: ZkServer) -> None:
        """Listen for clients."""
        factory: Any = _Clients(server)
        if self._contexts is None:
            listen_plain(server.process, "", self.port, factory)
        else:
            contexts = self._contexts[server.number - 1]
            listen_tls(server.process, "", self.port, contexts, {HTTP: factory})

    # Who leads

    def _reaches(self, one: ZkServer, other: ZkServer) -> bool:
        """Whether both run and packets pass both ways."""
        if not (one.running and other.running and one.node.up and other.node.up):
            return False
        network = self.network
        return (
            network.link(one.node, other.node).cut is None
            and network.link(other.node, one.node).cut is None
        )

    def _followed(self, leader: ZkServer) -> int:
        return 1 + sum(
            1 for server in self.servers if server is not leader and self._reaches(server, leader)
        )

    def _look(self) -> None:
        """What the servers notice of each other, four times a second."""
        self.clock.callLater(_LOOK_S, self._look)
        now = self.clock.now
        for server in self.servers:
            leader = server.leader
            if server.process is not None and not server.process.alive:
                # Its machine lost its power.
                server.look()
                server.process = None
            elif leader is None or not server.running:
                continue
            elif leader is server:
                if self._followed(server) >= self.majority and server.epoch == self.epoch:
                    server.seen_at = now
            elif self._reaches(server, leader) and leader.leader is leader:
                if server.epoch == leader.epoch:
                    server.seen_at = now
            elif leader.process is None or leader.leader is not leader:
                server.seen_at = -self.lost_s  # its connection to the leader is closed
            if server.leader is not None and now - server.seen_at >= self.lost_s:
                self._depose(server)
        self._find_leaders(now)

    def _find_leaders(self, now: float) -> None:
        leader = self.leader
        if leader is not None and self._followed(leader) >= self.majority:
            self._election_at = None
            for server in self.servers:
                if server.leader is None and self._reaches(server, leader):
                    server.seen_at = now
                    server.follow(leader)
                    self.clock.note(server.node.name, f"follows {leader.number}")
            return
        free = [server for server in self.servers if server.leader is None and server.running]
        best = [
            server
            for server in sorted(free, key=lambda one: (-one.applied, -one.number))
            if sum(self._reaches(server, other) for other in free if other is not server) + 1
            >= self.majority
        ]
        if len(best) > 1 and self._barred in best:
            best.remove(self._barred)
        if not best:
            self._election_at = None
        elif self._election_at is None:
            # The first election is quick, so that tests begin soon.
            self._election_at = now + (self._random.uniform(0.2, 1.0) if self.epoch else 0.0)
        if best and self._election_at is not None and now >= self._election_at:
            self._elected(best[0], now)

    def _elected(self, server: ZkServer, now: float) -> None:
        self.epoch += 1
        self._barred = self._election_at = None
        server.seen_at = now
        server.lead(self.epoch)
        self.clock.note(server.node.name, f"leads epoch {self.epoch}")
        self._find_leaders(now)

    def _depose(self, server: ZkServer) -> None:
        self.clock.note(server.node.name, "looks for a leader")
        server.look()
