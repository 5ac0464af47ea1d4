"""TLS, the HTTP server and our HTTP client together, over loopback sockets."""

import socket
import ssl

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mesos_twisted.transport.client import AnswerLostError, HttpClient, NotConnectedError
from mesos_twisted.transport.http1 import (
    ChunkedBody,
    HttpServer,
    Response,
    StreamResponse,
)
from mesos_twisted.transport.leader import LeaderClient
from mesos_twisted.transport.listen import listen_plain, listen_tls, stop_gracefully
from mesos_twisted.transport.tls_factory import TlsLimits

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
OTHER = trustme.CA(key_type=trustme.KeyType.ECDSA)


class Contexts:
    """Mutual TLS under `authority`, with a certificate for loopback."""

    def __init__(self, authority=AUTHORITY, trusted=AUTHORITY, own=True, name="127.0.0.1"):
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.client = ssl.create_default_context()
        certificate = authority.issue_cert(name, key_type=trustme.KeyType.ECDSA)
        for context in (self.server, self.client):
            trusted.configure_trust(context)
        certificate.configure_cert(self.server)
        if own:
            certificate.configure_cert(self.client)
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.server.num_tickets = 0
        self.server.set_alpn_protocols(["mesos-link/1", "http/1.1"])

    def server_context(self):
        return self.server

    def client_context(self):
        return self.client


class Counts:
    def __init__(self):
        self.done = 0
        self.failed = []

    def handshake_done(self, peer):
        self.done += 1

    def handshake_failed(self, reason, peer):
        self.failed.append(reason)


class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


def sleep(seconds):
    return deferLater(reactor, seconds, lambda: None)


class TlsLoopback(TestCase):
    timeout = 20

    def setUp(self):
        self.contexts = Contexts()
        self.counts = Counts()
        self.writers = []
        self.peers = []
        self.server = HttpServer(reactor, self.handle, body_limit=lambda path: 10_000_000)
        self.listener = self.listen(self.contexts)
        self.origin = f"https://127.0.0.1:{self.listener.port_number}"
        self.client = HttpClient(reactor, self.contexts)
        self.addCleanup(lambda: stop_gracefully([self.listener], [self.server], 0.2))
        self.addCleanup(self.client.close)

    def listen(self, contexts, limits=None):
        factories = {b"http/1.1": self.server, b"mesos-link/1": Factory.forProtocol(Echo)}
        return listen_tls(reactor, "127.0.0.1", 0, contexts, factories, limits, self.counts)

    def handle(self, request):
        self.peers.append(request.peer)
        if request.path == "/stream":
            return StreamResponse(200, "application/json", (), self.writers.append)
        if request.path == "/large":
            return ChunkedBody(200, (b"%07d\n" % n for n in range(1_000_000)), "text/plain")
        if request.path == "/later":
            return deferLater(reactor, 0.01, lambda: Response(202))
        if request.path == "/never":
            return Deferred()
        return Response(200, b"%b %d" % (request.path.encode(), len(request.body)))

    @inlineCallbacks
    def test_requests_share_one_authenticated_connection(self):
        for size in (0, 10, 3_000_000):
            answer = yield self.client.request("POST", self.origin + "/a", (), b"x" * size)
            assert (answer.status, answer.body) == (200, b"/a %d" % size)
        later = yield self.client.request("POST", self.origin + "/later")
        assert later.status == 202 and "date" in later.headers
        assert len(set(map(id, self.peers))) == 1 and self.counts.done == 1
        peer = self.peers[0]
        assert peer.secure and peer.address == "127.0.0.1" and peer.context is self.contexts.server
        own = ssl.DER_cert_to_PEM_cert(peer.certificate)
        assert "BEGIN CERTIFICATE" in own

    @inlineCallbacks
    def test_a_large_body_arrives_whole(self):
        answer = yield self.client.request("GET", self.origin + "/large")
        assert len(answer.body) == 8_000_000 and answer.body.endswith(b"0999999\n")

    @inlineCallbacks
    def test_a_stream_is_read_as_it_is_written_and_hears_its_end(self):
        stream = yield self.client.open_stream("POST", self.origin + "/stream")
        got, reasons, ends = bytearray(), [], []
        stream.on_data(got.extend)
        stream.on_closed(reasons.append)
        (writer,) = self.writers
        writer.on_closed(ends.append)
        writer.write_record(b"one")
        writer.write_record(b"y" * 200_000)
        while len(got) < 200_012:
            yield sleep(0.01)
        assert got[:12] == b"3\none200000\n"
        other = yield self.client.request("GET", self.origin + "/b")
        assert other.status == 200
        stream.close()
        while not ends:
            yield sleep(0.01)
        assert reasons == ["The stream was closed by this client"]

    @inlineCallbacks
    def test_a_paused_reader_holds_its_writer_back(self):
        stream = yield self.client.open_stream("POST", self.origin + "/stream")
        (writer,) = self.writers
        size = 0
        while not writer.queued_bytes and size < 50_000_000:
            writer.write_record(b"z" * 100_000)
            size += 100_000
            yield sleep(0)
        assert writer.queued_bytes
        got = []
        stream.on_data(got.append)
        while writer.queued_bytes:
            yield sleep(0.01)
        stream.close()

    @inlineCallbacks
    def failure_of(self, client, url, kind=NotConnectedError):
        problem = None
        try:
            yield client.request("POST", url, timeout_s=5)
        except kind as caught:
            problem = caught
        finally:
            yield client.close()
        assert problem is not None
        return str(problem)

    @inlineCallbacks
    def test_a_client_without_certificate_is_told(self):
        client = HttpClient(reactor, Contexts(own=False))
        sentence = yield self.failure_of(client, self.origin)
        assert "certificate required" in sentence and self.origin[8:] in sentence
        assert self.counts.failed == ["no_certificate"]

    @inlineCallbacks
    def test_a_client_of_another_authority_is_refused(self):
        client = HttpClient(reactor, Contexts(OTHER))
        sentence = yield self.failure_of(client, self.origin)
        assert "unknown ca" in sentence and self.counts.failed == ["certificate_unknown_ca"]

    @inlineCallbacks
    def test_a_server_of_another_authority_is_refused(self):
        client = HttpClient(reactor, Contexts(trusted=OTHER))
        sentence = yield self.failure_of(client, self.origin)
        assert "not accepted" in sentence
        yield sleep(0.05)
        assert self.counts.failed == ["peer_alert"]

    @inlineCallbacks
    def test_a_server_with_another_name_is_refused(self):
        listener = self.listen(Contexts(name="elsewhere.example"))
        client = HttpClient(reactor, self.contexts)
        sentence = yield self.failure_of(client, f"https://127.0.0.1:{listener.port_number}/")
        assert "not accepted" in sentence
        yield listener.stop_listening()

    @inlineCallbacks
    def test_certificates_are_swapped_under_open_connections(self):
        first = yield self.client.request("GET", self.origin)
        fresh = Contexts()
        self.contexts.server = fresh.server
        second = yield self.client.request("GET", self.origin)
        client = HttpClient(reactor, self.contexts)
        third = yield client.request("GET", self.origin)
        yield client.close()
        assert first.status == second.status == third.status == 200
        assert self.peers[0] is self.peers[1] and self.peers[2].context is fresh.server

    @inlineCallbacks
    def raw(self, data, wait=0.1):
        peer = socket.create_connection(("127.0.0.1", self.listener.port_number))
        peer.setblocking(False)
        if data:
            peer.sendall(data)
        yield sleep(wait)
        try:
            answer = peer.recv(65536)
        except BlockingIOError:
            answer = None
        except ConnectionResetError:
            answer = b""
        peer.close()
        return answer

    @inlineCallbacks
    def test_plaintext_is_closed_without_an_answer(self):
        assert (yield self.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")) == b""
        assert self.counts.failed == ["plaintext"]

    @inlineCallbacks
    def test_a_slow_handshake_is_dropped(self):
        yield self.listener.stop_listening()
        self.listener = self.listen(self.contexts, TlsLimits(handshake_s=0.5, handshaking=1))
        waiting = self.raw(b"\x16\x03", 2.2)
        yield sleep(0.05)
        assert (yield self.raw(b"")) == b""
        assert self.counts.failed == ["too_many"]
        assert (yield waiting) == b""
        assert self.counts.failed == ["too_many", "timeout"]

    @inlineCallbacks
    def test_alpn_picks_the_protocol(self):
        context = self.contexts.client
        context.set_alpn_protocols(["mesos-link/1"])
        raw = socket.create_connection(("127.0.0.1", self.listener.port_number))
        raw.setblocking(False)
        peer = context.wrap_socket(raw, server_hostname="127.0.0.1", do_handshake_on_connect=False)
        got = b""
        sent = False
        while got != b"hello":
            try:
                if not sent:
                    peer.do_handshake()
                    peer.sendall(b"hello")
                    sent = True
                got += peer.recv(100)
            except ssl.SSLWantReadError:
                yield sleep(0.005)
        assert peer.selected_alpn_protocol() == "mesos-link/1"
        peer.close()

    @inlineCallbacks
    def test_a_silent_server_is_a_clear_failure(self):
        client = HttpClient(reactor, self.contexts)
        problem = None
        try:
            yield client.request("POST", self.origin + "/never", timeout_s=0.1)
        except AnswerLostError as caught:
            problem = str(caught)
        assert problem is not None and "/never: no answer within 0.1 s" in problem
        yield client.close()

    @inlineCallbacks
    def test_a_refused_connection_is_a_clear_failure(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            client = HttpClient(reactor, self.contexts)
            sentence = yield self.failure_of(client, f"https://127.0.0.1:{port}/")
        assert "refused" in sentence and str(port) in sentence


class Leader(TestCase):
    timeout = 20

    @inlineCallbacks
    def test_the_leader_is_found_and_remembered(self):
        asked = []
        ports = {}

        def master(name, answer):
            def handle(request):
                asked.append((name, request.path))
                return answer()

            server = HttpServer(reactor, handle)
            listener = listen_plain(reactor, "127.0.0.1", 0, server)
            ports[name] = listener.port_number
            return listener, server

        masters = [
            master("unaware", lambda: Response(503)),
            master(
                "follower",
                lambda: Response(
                    307, b"", None, (("Location", f"//127.0.0.1:{ports['leader']}/x"),)
                ),
            ),
            master("leader", lambda: Response(200, b"led")),
        ]
        http = HttpClient(reactor)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            known = [free.getsockname()[1], ports["unaware"], ports["follower"]]
            client = LeaderClient(http, [f"127.0.0.1:{port}" for port in known], secure=False)
            answer = yield client.request("POST", "/x", (), b"{}")
        assert answer.body == b"led"
        assert asked == [("unaware", "/x"), ("follower", "/x"), ("leader", "/x")]
        yield client.request("POST", "/y")
        assert asked[3:] == [("leader", "/y")]
        yield http.close()
        yield stop_gracefully([m[0] for m in masters], [m[1] for m in masters], 0.2)
