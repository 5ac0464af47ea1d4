"""One client's connection to one simulated ZooKeeper server: bytes to requests, answers in order.

Writes go on to the leader at once; a read waits until all before it is answered. What a request
means is the tree's affair, who decides it the server's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from cryptography import x509
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from mesos_twisted.errors import MalformedError
from mesos_twisted.testing.sim import zk_acl
from mesos_twisted.testing.sim.zk_nodes import Refusal
from mesos_twisted.testing.sim.zk_tree import Tree
from mesos_twisted.zookeeper import jute
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.records import Code
from mesos_twisted.zookeeper.wire import Frames, frame

#: Bytes of a request at most (jute.maxbuffer); the server closes the connection of a longer one.
LONGEST: Final = 0xFFFFF
PASSWORD_BYTES: Final = 16

#: Tells the answer to a write: (zxid, error, reply).
Answer = Callable[[int, int, r.Reply | None], object]


class Server(Protocol):
    """The server, to its connections."""

    tree: Tree

    @property
    def serving(self) -> bool:
        """Whether it leads or follows somebody."""
        ...

    def connecting(self, connection: ClientConnection, request: r.ConnectRequest) -> None:
        """It wants a session; `connection.joined` tells it."""

    def write(self, connection: ClientConnection, request: r.Request, done: Answer) -> None:
        """A request for the leader."""

    def heard(self, connection: ClientConnection) -> None:
        """It is alive."""

    def watch(self, connection: ClientConnection, path: str, children: bool) -> None:
        """Leave a watch for it."""

    def loses(self, request: r.Request) -> bool:
        """Whether the answer to this is to be lost."""
        ...

    def gone(self, connection: ClientConnection) -> None:
        """It is closed."""


class _Slot:
    """An answer's place in the order."""

    __slots__ = ("message", "moved", "request", "xid")

    def __init__(self, xid: int, request: r.Request) -> None:
        self.xid = xid
        self.request = request
        self.message: bytes | None = None
        self.moved = False


#: What a server answers by itself.
_LOCAL: Final = (r.Exists, r.GetData, r.GetChildren, r.GetAcl, r.SetWatches, r.Ping)


class ClientConnection(TwistedProtocol):
    """One connection, until it is closed by either side."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._frames = Frames(LONGEST)
        self._slots: deque[_Slot] = deque()
        self._greeted = False
        self._open = False
        self.session = 0
        self.identities: list[zk_acl.Identity] = []

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._open = True
        self.identities.append(("ip", transport.getPeer().host))
        shown = getattr(transport, "peer_certificate", lambda: None)()
        if shown is not None:
            subject = x509.load_der_x509_certificate(shown).subject
            self.identities.append(("x509", subject.rfc4514_string()))
        if not self._server.serving:
            self.close()

    def dataReceived(self, data: bytes) -> None:
        if not self._open:
            return
        try:
            for message in self._frames.feed(data):
                if not self._greeted:
                    self._greeted = True
                    self._server.connecting(self, jute.decode_connect(message))
                else:
                    self._request(*jute.decode_request(message))
        except MalformedError:
            self.close()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._open = False
        self._slots.clear()
        self._server.gone(self)

    def close(self) -> None:
        """After what was written."""
        if self._open:
            self._open = False
            transport: Any = self.transport
            transport.loseConnection()

    def abort(self) -> None:
        """At once."""
        if self._open:
            self._open = False
            transport: Any = self.transport
            transport.abortConnection()

    # What the server tells

    def joined(self, response: r.ConnectResponse) -> None:
        """The session it got; id 0: it has expired."""
        self.session = response.session_id
        self._send(jute.encode_connected(response))
        if not response.session_id:
            self.close()

    def tell(self, event: r.WatchEvent) -> None:
        """A watch fired."""
        self._send(jute.encode_event(event))

    # Requests

    def _request(self, xid: int, request: r.Request) -> None:
        if not self._open:
            return
        if not self.session:
            # Real clients wait for the session; whoever does not is not one.
            self.close()
            return
        self._server.heard(self)
        if isinstance(request, r.Auth):
            # Past what waits, as in ZooKeeper.
            self._authenticate(xid, request.scheme, request.auth)
            return
        slot = _Slot(xid, request)
        self._slots.append(slot)
        if not isinstance(request, _LOCAL):

            def answered(zxid: int, error: int, reply: r.Reply | None) -> None:
                slot.message = jute.encode_reply(xid, zxid, error, reply)
                slot.moved = error == Code.SESSION_MOVED
                self._drain()

            self._server.write(self, request, answered)
        self._drain()

    def _authenticate(self, xid: int, scheme: str, auth: bytes) -> None:
        known = scheme == "digest" and b":" in auth
        if known:
            self.identities.append(zk_acl.digest(auth))
        error = Code.OK if known else Code.AUTH_FAILED
        self._send(jute.encode_reply(xid, self._server.tree.zxid, error))
        if not known:
            self.close()

    def _drain(self) -> None:
        slots = self._slots
        while slots and self._open:
            slot = slots[0]
            if slot.message is None:
                if not isinstance(slot.request, _LOCAL):
                    return
                slot.message = self._read(slot)
            elif slot.moved:
                # ZOOKEEPER-710: it is not answered, the client is to connect anew.
                self.close()
                return
            elif self._server.loses(slot.request):
                self.abort()
                return
            slots.popleft()
            self._send(slot.message)
            if isinstance(slot.request, r.CloseSession):
                self.close()

    def _read(self, slot: _Slot) -> bytes:
        tree, request = self._server.tree, slot.request
        if isinstance(request, r.SetWatches):
            self._set_watches(request)
        if isinstance(request, r.SetWatches | r.Ping):
            return jute.encode_reply(slot.xid, tree.zxid, Code.OK)
        try:
            reply = tree.read(request, self.identities)
        except Refusal as refusal:
            if isinstance(request, r.Exists) and request.watch and refusal.code is Code.NO_NODE:
                self._server.watch(self, request.path, False)
            return jute.encode_reply(slot.xid, tree.zxid, refusal.code)
        match request:
            case r.Exists(path, True) | r.GetData(path, True):
                self._server.watch(self, path, False)
            case r.GetChildren(path, True):
                self._server.watch(self, path, True)
        return jute.encode_reply(slot.xid, tree.zxid, Code.OK, reply)

    def _set_watches(self, request: r.SetWatches) -> None:
        nodes, since, kinds = self._server.tree.nodes, request.relative_zxid, r.EventKind
        for path in request.data:
            node = nodes.get(path)
            if node is None:
                self.tell(r.WatchEvent(kinds.DELETED, path))
            elif node.mzxid > since:
                self.tell(r.WatchEvent(kinds.DATA_CHANGED, path))
            else:
                self._server.watch(self, path, False)
        for path in request.exist:
            if path in nodes:
                self.tell(r.WatchEvent(kinds.CREATED, path))
            else:
                self._server.watch(self, path, False)
        for path in request.child:
            node = nodes.get(path)
            if node is None:
                self.tell(r.WatchEvent(kinds.DELETED, path))
            elif node.pzxid > since:
                self.tell(r.WatchEvent(kinds.CHILDREN_CHANGED, path))
            else:
                self._server.watch(self, path, True)

    def _send(self, message: bytes) -> None:
        if self._open and self.transport is not None:
            self.transport.write(frame(message))
