"""A connector between plaintext clients and masters over real mutual TLS."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mesos_twisted.connect.config import ConnectConfig
from mesos_twisted.connect.net.connector import Connector
from mesos_twisted.protocol.recordio import encode
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.security.net.identity import Side, identify
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.systemd import Notifier
from mesos_twisted.transport.client import AnswerLostError, HttpClient
from mesos_twisted.transport.http1 import ChunkedBody, HttpServer, Response, StreamResponse
from mesos_twisted.transport.listen import listen_tls

STREAM = (("Mesos-Stream-Id", "an-id"), ("Content-Type", "application/json"))
CERTS = Path(tempfile.mkdtemp(prefix="connector-certs-"))


def setUpModule():
    authority.make_authority(CERTS, "test")
    authority.issue(CERTS, Role.MASTER, "master", ["127.0.0.1"])
    authority.issue(CERTS, Role.FRAMEWORK, "me", ["127.0.0.1"])


def tearDownModule():
    shutil.rmtree(CERTS)


def wait(seconds):
    return deferLater(reactor, seconds, lambda: None)


def curl(*arguments):
    return subprocess.run(["curl", "-s", *arguments], capture_output=True, timeout=20).stdout


class Master:
    """A master's edge: redirects when another leads, streams, and notes what it was asked."""

    def __init__(self, test):
        self.hangs = False
        self.leader = None  # None: itself; "": nobody; else host:port
        self.requests = []
        self.waiting = []
        self.sent = 0
        self.writers = []
        self.server = HttpServer(reactor, self.handle)
        files = CertificateFiles(
            str(CERTS / "ca.pem"), str(CERTS / "master.pem"), str(CERTS / "master-key.pem")
        )
        contexts = ContextSource(files)
        self.listener = listen_tls(reactor, "127.0.0.1", 0, contexts, {b"http/1.1": self.server})
        self.at = f"127.0.0.1:{self.listener.port_number}"
        test.addCleanup(self.stop)

    def stop(self):
        self.listener.stop_listening()
        return self.server.stop(0.1)

    def endless(self):
        while True:
            self.sent += 64_000
            yield b"x" * 64_000

    def handle(self, request):
        leader = self.at if self.leader is None else self.leader
        if not leader:
            return Response(503)
        if request.path == "/redirect":
            return Response(307, headers=(("Location", f"//{leader}"),))
        self.requests.append(request)
        if request.path == "/version":
            return Response(200, self.at.encode())
        if leader != self.at:
            return Response(307, headers=(("Location", f"//{leader}{request.path}"),))
        if request.path == "/api/v1/scheduler" and b"SUBSCRIBE" in request.body:
            headers = (("Mesos-Stream-Id", "an-id"),)
            return StreamResponse(200, "application/json", headers, self.writers.append)
        if request.path == "/large":
            return ChunkedBody(200, (b"%07d\n" % n for n in range(200_000)), "text/plain")
        if request.path == "/later" or self.hangs:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        if request.path == "/endless":
            return ChunkedBody(200, self.endless(), "text/plain")
        if request.path == "/api/v1/scheduler":
            return Response(202)
        return Response(200, request.body or b"x" * 2000, "application/json")


class ConnectorTests(TestCase):
    timeout = 30

    def setUp(self):
        self.master = Master(self)
        self.client = HttpClient(reactor, connections=4)
        self.addCleanup(self.client.close)

    def connect(self, *masters, certificate=True, **settings):
        certificate_settings = {
            "tls_cert_file": str(CERTS / "me.pem"),
            "tls_key_file": str(CERTS / "me-key.pem"),
        }
        connector = Connector(
            reactor,
            ConnectConfig(
                **{"master": masters or (self.master.at,), "leader_timeout": 0.0, **settings},
                listen=("127.0.0.1:0",),
                tls_ca_file=str(CERTS / "ca.pem"),
                **(certificate_settings if certificate else {}),
            ),
            Notifier({}),
        )
        connector.start()
        self.addCleanup(connector.stop)
        self.url = f"http://127.0.0.1:{connector.ports[0].getHost().port}"
        return connector

    def subscribe(self):
        return self.client.open_stream(
            "POST", self.url + "/api/v1/scheduler", (("Connection", "close"),), b"SUBSCRIBE"
        )

    @inlineCallbacks
    def test_requests_arrive_with_the_connectors_certificate(self):
        self.connect()
        headers = (("Mesos-Stream-Id", "s"), ("Authorization", "Basic x"))
        answer = yield self.client.request(
            "POST", self.url + "/api/v1/scheduler?a=%2F", headers, b"call"
        )
        assert (answer.status, answer.body) == (202, b"")
        (got,) = self.master.requests
        assert (got.method, got.raw_path, got.body) == ("POST", b"/api/v1/scheduler?a=%2F", b"call")
        assert got.headers["mesos-stream-id"] == "s" and "authorization" not in got.headers
        assert got.headers["host"] == self.master.at
        assert identify(got.peer.certificate, Side.CLIENT).principal.name == "me"

    @inlineCallbacks
    def test_without_a_certificate_the_clients_credentials_speak(self):
        self.connect(certificate=False)
        yield self.client.request("GET", self.url + "/state", (("Authorization", "Basic x"),))
        (got,) = self.master.requests
        assert got.headers["authorization"] == "Basic x" and got.peer.certificate is None

    @inlineCallbacks
    def test_compressed_answers_pass_unchanged(self):
        self.connect()
        answer = yield self.client.request("GET", self.url + "/state")
        packed = yield self.client.request(
            "GET", self.url + "/state", (("Accept-Encoding", "gzip"),)
        )
        assert answer.body == b"x" * 2000
        assert packed.headers["content-encoding"] == "gzip" and len(packed.body) < 100

    @inlineCallbacks
    def test_events_pass_at_once_and_both_ends_notice_the_other_leaving(self):
        self.connect()
        stream = yield self.subscribe()
        assert stream.headers["mesos-stream-id"] == "an-id"
        assert stream.headers["content-type"] == "application/json"
        got = []
        stream.on_data(got.append)
        (writer,) = self.master.writers
        for event in (b"{}", b"[1]"):
            writer.write_record(event)
            yield wait(0.05)
        assert got == [encode(b"{}"), encode(b"[1]")]
        stream.close()
        yield wait(0.05)
        assert writer.closed

    @inlineCallbacks
    def test_a_stream_that_breaks_upstream_is_cut_and_one_that_ends_is_ended(self):
        self.connect()
        for end, complete in ((lambda w: w.close(), True), (lambda w: w.abort("x"), False)):
            stream = yield self.subscribe()
            stream.on_data(lambda data: None)
            end(self.master.writers.pop())
            yield wait(0.1)
            assert stream.closed and stream.complete is complete

    @inlineCallbacks
    def test_large_answers_arrive_whole(self):
        self.connect()
        answer = yield self.client.request("GET", self.url + "/large")
        assert len(answer.body) == 1_600_000 and answer.body.endswith(b"0199999\n")
        head = yield self.client.request("HEAD", self.url + "/large")
        assert (head.status, head.body) == (200, b"")

    @inlineCallbacks
    def test_the_leader_is_followed_and_asked_for_everything(self):
        other = Master(self)
        other.leader = self.master.at
        self.connect(other.at, self.master.at)
        answer = yield self.client.request("GET", self.url + "/version")
        assert answer.body == self.master.at.encode() and not other.requests
        answer = yield self.client.request("GET", self.url + "/redirect")
        assert (answer.status, answer.headers["location"]) == (307, self.url.removeprefix("http:"))

    @inlineCallbacks
    def test_a_new_leader_ends_the_streams_of_the_old(self):
        other = Master(self)
        connector = self.connect(self.master.at, other.at)
        stream = yield self.subscribe()
        stream.on_data(lambda data: None)
        self.master.leader = other.at
        yield connector._upstream._compare()
        yield wait(0.1)
        assert stream.closed and not stream.complete
        yield self.subscribe()
        assert other.writers

    @inlineCallbacks
    def test_an_elected_leader_ends_what_was_asked_of_the_last(self):
        """Though that one hangs: streams end, a GET goes to the new one, other calls are lost."""
        other = Master(self)
        connector = self.connect(self.master.at, other.at, leader_timeout=20.0)
        stream = yield self.subscribe()
        stream.on_data(lambda data: None)
        got = self.client.request("GET", self.url + "/later")
        posted = self.client.request("POST", self.url + "/later", (), b"x")
        call = b'{"type": "REVIVE"}'
        self.master.hangs = True
        revived = self.client.request("POST", self.url + "/api/v1/scheduler", STREAM, call)
        while len(self.master.waiting) < 3:
            yield wait(0.01)
        self.master.leader = other.at
        connector._upstream._leader._another(other.at)
        answer = yield posted
        assert answer.status == 503 and b"leads now" in answer.body
        answer = yield revived
        assert (answer.status, answer.headers["mesos-connect"]) == (202, "dropped")
        while not other.waiting:
            yield wait(0.01)
        other.waiting[0].callback(Response(200, b"from the new one"))
        answer = yield got
        assert answer.body == b"from the new one"
        assert stream.closed and not stream.complete

    @inlineCallbacks
    def test_a_call_on_a_stream_that_is_gone_is_dropped(self):
        """No master would take it, and the client is about to subscribe again."""
        self.connect()
        stream = yield self.subscribe()
        stream.on_data(lambda data: None)
        self.master.writers.pop().abort("the leader dies")
        yield wait(0.1)
        assert stream.closed
        asked = len(self.master.requests)
        call = b'{"type": "REVIVE"}'
        answer = yield self.client.request("POST", self.url + "/api/v1/scheduler", STREAM, call)
        assert (answer.status, answer.headers["mesos-connect"]) == (202, "dropped")
        assert len(self.master.requests) == asked
        teardown = b'{"type": "TEARDOWN"}'
        answer = yield self.client.request("POST", self.url + "/api/v1/scheduler", STREAM, teardown)
        assert "mesos-connect" not in answer.headers
        assert self.master.requests[-1].body == teardown

    @inlineCallbacks
    def test_a_stream_its_client_left_is_not_gone(self):
        """What its client says then is its own mistake, and the master's to judge."""
        self.connect()
        stream = yield self.subscribe()
        stream.on_data(lambda data: None)
        stream.close()
        yield wait(0.1)
        call = b'{"type": "REVIVE"}'
        yield self.client.request("POST", self.url + "/api/v1/scheduler", STREAM, call)
        assert self.master.requests[-1].body == call

    @inlineCallbacks
    def test_requests_wait_for_a_leader(self):
        """As many as there are; each is sent once."""
        self.master.leader = ""
        connector = self.connect(leader_timeout=20.0)
        sent = [
            self.client.request("POST", self.url + "/api/v1/scheduler", (), b"%d" % number)
            for number in range(3)
        ]
        while connector._upstream._waiting.requests < 1:
            yield wait(0.01)
        self.master.leader = None
        for deferred in sent:
            answer = yield deferred
            assert answer.status == 202
        assert sorted(request.body for request in self.master.requests) == [b"0", b"1", b"2"]
        assert connector._upstream._waiting.requests == 0

    @inlineCallbacks
    def test_no_master_is_a_clear_503(self):
        self.master.leader = ""
        self.connect()
        answer = yield self.client.request("POST", self.url + "/api/v1/scheduler")
        assert answer.status == 503 and b"knows no leader" in answer.body
        yield self.master.stop()
        answer = yield self.client.request("POST", self.url + "/api/v1/scheduler")
        assert answer.status == 503 and b"No leading master was found" in answer.body

    @inlineCallbacks
    def test_one_agent_can_be_served(self):
        self.connect(master=(), agent=self.master.at)
        answer = yield self.client.request("POST", self.url + "/api/v1", (), b"{}")
        assert answer.body == b"{}"

    @inlineCallbacks
    def test_web_pages_and_long_bodies_are_refused(self):
        self.connect(max_body=100)
        headers = (("Origin", "https://evil.example"),)
        answer = yield self.client.request("POST", self.url + "/api/v1", headers, b"{}")
        assert answer.status == 403
        answer = yield self.client.request("POST", self.url + "/api/v1", (), b"x" * 101)
        assert answer.status == 413
        assert not self.master.requests

    @inlineCallbacks
    def test_names_of_other_machines_are_not_answered(self):
        """A page can point a name of its own at this port: DNS rebinding."""
        self.connect()
        answer = yield deferToThread(
            curl, self.url, "-H", "Host: evil.example", "-w", "%{http_code}"
        )
        assert b"evil.example" in answer and answer.endswith(b"403")
        assert not self.master.requests

    @inlineCallbacks
    def test_a_slow_client_holds_the_master_back(self):
        """Neither the connector nor the master gathers what nobody reads."""
        self.connect()
        stream = yield self.client.open_stream("GET", self.url + "/endless")
        sent = 0
        while not self.master.sent == sent > 0:
            sent = self.master.sent
            assert sent < 64_000_000
            yield wait(0.3)
        stream.close()

    @inlineCallbacks
    def test_a_client_that_leaves_while_it_subscribes_leaves_no_stream_behind(self):
        self.connect()
        subscribing = self.client.open_stream("POST", self.url + "/later")
        while not self.master.waiting:
            yield wait(0.01)
        yield self.client.close()
        yield self.assertFailure(subscribing, AnswerLostError)
        yield wait(0.05)
        answer = StreamResponse(200, "application/json", (), self.master.writers.append)
        self.master.waiting.pop().callback(answer)
        yield wait(0.1)
        (writer,) = self.master.writers
        assert writer.closed
