"""Only allowed users get through to the connector."""

import os
import socket
import tempfile

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mesos_twisted.clock import Timers
from mesos_twisted.connect.net.gate import Gate
from mesos_twisted.transport.http1 import HttpServer, Response

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def ask(family, address):
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)
        client.sendall(ASK)
        got = b""
        while data := client.recv(4096):
            got += data
        return got


class GateTests(TestCase):
    timeout = 20

    def listen(self, allowed, path=None, interface="127.0.0.1"):
        server = HttpServer(reactor, lambda request: Response(200, b"in"))
        gate = Gate(server, frozenset(allowed), Timers(reactor))
        if path:
            port = reactor.listenUNIX(path, gate)
        else:
            port = reactor.listenTCP(0, gate, interface=interface)
        self.addCleanup(server.stop, 1.0)
        self.addCleanup(port.stopListening)
        return port.getHost()

    @inlineCallbacks
    def test_our_own_user_is_known_over_tcp(self):
        at = self.listen({os.geteuid()})
        got = yield deferToThread(ask, socket.AF_INET, ("127.0.0.1", at.port))
        assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"in")

    @inlineCallbacks
    def test_a_client_with_an_ipv6_socket_is_known_too(self):
        """Java's sockets are of that kind."""
        at = self.listen({os.geteuid()})
        got = yield deferToThread(ask, socket.AF_INET6, ("::ffff:127.0.0.1", at.port))
        assert got.startswith(b"HTTP/1.1 200")

    @inlineCallbacks
    def test_others_get_a_sentence(self):
        at = self.listen({os.geteuid() + 4711})
        got = yield deferToThread(ask, socket.AF_INET, ("127.0.0.1", at.port))
        assert got.startswith(b"HTTP/1.1 403")
        assert f"does not serve user {os.geteuid()}".encode() in got
        self.flushLoggedErrors()

    def directory(self):
        """One below the system's, as trial's own would be left in the working directory."""
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return made.name

    @inlineCallbacks
    def test_unix_sockets_tell_their_peer(self):
        path = f"{self.directory()}/ours"
        self.listen({os.geteuid()}, path)
        assert (yield deferToThread(ask, socket.AF_UNIX, path)).startswith(b"HTTP/1.1 200")
        path = f"{self.directory()}/others"
        self.listen({os.geteuid() + 4711}, path)
        assert (yield deferToThread(ask, socket.AF_UNIX, path)).startswith(b"HTTP/1.1 403")
