"""The HTTP client against servers that behave and servers that do not, over loopback."""

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mesos_twisted.errors import MalformedError
from mesos_twisted.transport.client import AnswerLostError, HttpClient, NotConnectedError, parse_url
from mesos_twisted.transport.http1 import HttpServer, Response, StreamResponse
from mesos_twisted.transport.listen import listen_plain, stop_gracefully


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:1",
        "ftp://h",
        "http://",
        "http://h:99999/",
        "http://u@h/",
        "http://h/a b",
        "http:///",
    ],
)
def test_a_bad_url_is_refused(url):
    with pytest.raises(MalformedError):
        parse_url(url)


def test_a_url_gives_origin_and_target():
    origin, target = parse_url("https://[::1]:5050?x=1")
    assert (origin.secure, origin.host, origin.port, target) == (True, "::1", 5050, "/?x=1")
    assert str(origin) == "[::1]:5050" and parse_url("http://h")[0].port == 80


class Fixed(Protocol):
    """Answers the first bytes it gets with `answer`, then closes."""

    answer = b""

    def dataReceived(self, data):
        self.transport.write(self.answer)
        self.transport.loseConnection()


class Client(TestCase):
    timeout = 20

    def setUp(self):
        self.client = HttpClient(reactor, connections=2)
        self.addCleanup(self.client.close)

    def serve(self, handler):
        server = HttpServer(reactor, handler)
        listener = listen_plain(reactor, "127.0.0.1", 0, server)
        self.addCleanup(lambda: stop_gracefully([listener], [server], 0.2))
        return server, f"http://127.0.0.1:{listener.port_number}"

    def serve_raw(self, answer):
        factory = Factory.forProtocol(type("Answer", (Fixed,), {"answer": answer}))
        listener = listen_plain(reactor, "127.0.0.1", 0, factory)
        self.addCleanup(listener.stop_listening)
        return f"http://127.0.0.1:{listener.port_number}/x"

    @inlineCallbacks
    def test_pipelined_requests_are_answered_in_order_on_one_connection(self):
        """Those behind the first go out before it is answered; each gets its own answer."""
        client = HttpClient(reactor, pipeline=8)
        self.addCleanup(client.close)
        most = [0]

        def handle(request):
            most[0] = max(most[0], len(list(server.connections())))
            return deferLater(reactor, 0.002, lambda: Response(200, request.path.encode()))

        server, origin = self.serve(handle)
        answers = yield DeferredList(
            [client.request("POST", f"{origin}/{n}") for n in range(20)], fireOnOneErrback=True
        )
        self.assertEqual([a.body for _, a in answers], [b"/%d" % n for n in range(20)])
        self.assertEqual(most[0], 1)

    @inlineCallbacks
    def test_pipelined_requests_behind_a_last_answer_fail_and_the_next_connects_again(self):
        """What the server did not answer is lost, not sent twice; it may have been acted on."""
        url = self.serve_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na")
        client = HttpClient(reactor, pipeline=8)
        self.addCleanup(client.close)
        first, second = client.request("POST", url), client.request("POST", url)
        answer = yield first
        self.assertEqual(answer.body, b"a")
        third = client.request("POST", url)
        yield self.assertFailure(second, AnswerLostError)
        answer = yield third
        self.assertEqual(answer.body, b"a")

    @inlineCallbacks
    def test_requests_beyond_the_pool_wait_in_order(self):
        waiting, most = [], [0]

        def handle(request):
            waiting.append(request.path)
            most[0] = max(most[0], len(list(server.connections())))
            return deferLater(reactor, 0.005, lambda: Response(200, request.path.encode()))

        server, origin = self.serve(handle)
        answers = yield DeferredList(
            [self.client.request("GET", f"{origin}/{n}") for n in range(8)], fireOnOneErrback=True
        )
        assert [answer.body for _, answer in answers] == [b"/%d" % n for n in range(8)]
        assert sorted(waiting) == [f"/{n}" for n in range(8)] and most[0] == 2

    @inlineCallbacks
    def test_a_connection_the_server_closed_is_not_used_again(self):
        server, origin = self.serve(lambda request: Response(202))
        yield self.client.request("POST", origin)
        for connection in server.connections():
            connection.stop()
        yield deferLater(reactor, 0.05, lambda: None)
        assert (yield self.client.request("POST", origin)).status == 202

    @inlineCallbacks
    def test_a_refused_stream_can_be_read_whole_and_its_connection_serves_on(self):
        server, origin = self.serve(lambda request: Response(403, b"no"))
        stream = yield self.client.open_stream("POST", origin)
        assert stream.status == 403
        assert (yield stream.collect(1000)) == b"no"
        assert (yield self.client.request("POST", origin)).status == 403
        assert len(list(server.connections())) == 1

    @inlineCallbacks
    def test_the_end_of_a_stream_has_a_reason(self):
        _, origin = self.serve(
            lambda request: StreamResponse(200, None, (), lambda writer: writer.close())
        )
        stream = yield self.client.open_stream("POST", origin)
        reason = Deferred()
        stream.on_closed(reason.callback)
        stream.on_data(lambda data: None)
        assert (yield reason) == "The server ended the stream"

    @inlineCallbacks
    def test_head_has_no_body(self):
        _, origin = self.serve(lambda request: Response(200, b"body"))
        answer = yield self.client.request("HEAD", origin)
        assert (answer.body, answer.headers["content-length"]) == (b"", "4")

    @inlineCallbacks
    def test_a_body_without_length_lasts_until_the_close(self):
        answer = yield self.client.request("GET", self.serve_raw(b"HTTP/1.0 200 OK\r\n\r\nall"))
        assert answer.body == b"all"

    @inlineCallbacks
    def test_answers_that_cannot_be_trusted_are_lost(self):
        for raw in (
            b"",
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        ):
            with pytest.raises(AnswerLostError) as caught:
                yield self.client.request("GET", self.serve_raw(raw))
            assert "127.0.0.1:" in str(caught.value)

    @inlineCallbacks
    def test_an_origin_can_be_abandoned_and_asked_again(self):
        """Its streams end, what waits fails with the reason, and the next request connects anew."""
        writers = []

        def handler(request):
            if request.path == "/stream":
                return StreamResponse(200, "text/plain", (), writers.append)
            return Response(200, b"here") if request.path == "/" else Deferred()

        _, base = self.serve(handler)
        stream = yield self.client.open_stream("GET", f"{base}/stream")
        reasons = []
        stream.on_data(lambda data: None)
        stream.on_closed(reasons.append)
        sent = [self.client.request("GET", f"{base}/never") for _ in range(3)]
        yield deferLater(reactor, 0.1, lambda: None)
        self.client.abandon(base, "b leads now")
        assert len(reasons) == 1 and "b leads now" in reasons[0] and not stream.complete
        results = yield DeferredList(sent, consumeErrors=True)
        kinds = [failure.type for _, failure in results]
        assert kinds == [AnswerLostError, AnswerLostError, NotConnectedError]
        assert all("b leads now" in failure.getErrorMessage() for _, failure in results)
        answer = yield self.client.request("GET", f"{base}/")
        assert answer.body == b"here"
        self.client.abandon("http://127.0.0.1:1", "nobody was asked")

    @inlineCallbacks
    def test_closing_the_client_fails_what_is_under_way(self):
        _, origin = self.serve(lambda request: Deferred())
        answer = self.client.request("GET", origin)
        yield deferLater(reactor, 0.05, lambda: None)
        yield self.client.close()
        with pytest.raises(AnswerLostError):
            yield answer
