"""Agents' files through the master: who may, what is asked of the agent, what is told."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from mesos_twisted.master.net.agent_files import DOWNLOAD_BYTES, STALL_S
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.master_service import Make, MasterWorld, whole
from mesos_twisted.transport.client import ClientResponse, ClientStream, NotConnectedError
from mesos_twisted.transport.messages import Response, ResponseHead, StreamResponse
from mesos_twisted.transport.stream import StreamWriter


class Transport:
    """The agent's end of a download."""

    def __init__(self) -> None:
        self.reading = True
        self.aborted = False

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def abortConnection(self) -> None:
        self.aborted = True


class Connection:
    def __init__(self) -> None:
        self.transport = Transport()


class Agent:
    """Stands for the HTTP client: answers as told and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        self.answer: Any = ClientResponse(200, {}, b'{"data":"hi","offset":2}')
        self.connection = Connection()
        self.stream = ClientStream(ResponseHead(200, "OK"), self.connection)  # type: ignore[arg-type]  # what a stream needs of one

    def request(self, method: str, url: str, headers: Any, timeout_s: float) -> Deferred[Any]:
        self._note(url, headers)
        return fail(self.answer) if isinstance(self.answer, Exception) else succeed(self.answer)

    def open_stream(self, method: str, url: str, headers: Any, timeout_s: float) -> Deferred[Any]:
        self._note(url, headers)
        return succeed(self.stream)

    def _note(self, url: str, headers: Any) -> None:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self.asked.append((origin, parse_qs(parts.query), dict(headers)))

    def close(self) -> Deferred[None]:
        return succeed(None)


class Relay:
    """A master, an agent and a framework whose sandbox is asked for."""

    def __init__(self, world: MasterWorld) -> None:
        self.world = world
        self.agent = Agent()
        world.service.agent_files.client = self.agent  # type: ignore[assignment]  # as above
        stream = world.subscribe(principal="framework")
        self.framework_id = stream.events()[0]["subscribed"]["framework_id"]["value"]
        self.agent_id = world.registered()[2]
        self.box = f"/frameworks/{self.framework_id}/executors/t/tasks/t"

    def get(self, page: str, query: str, agent_id: str | None = None, **more: Any) -> Any:
        target = f"/agent/{agent_id or self.agent_id}/files/{page}?{query}"
        answer = self.world.request("GET", target, **more)
        if isinstance(answer, Deferred):
            out: list[Any] = []
            answer.addBoth(out.append)
            (answer,) = out
        return answer


@pytest.fixture
def relay(world: MasterWorld) -> Relay:
    return Relay(world)


def test_a_piece_of_a_file(relay: Relay) -> None:
    """The agent is asked for the principal, and for nothing but path, offset and length."""
    query = f"path={relay.box}/stdout&offset=2&length=10&jsonp=f"
    answer = relay.get("read", query)
    assert whole(answer) == (200, {"data": "hi", "offset": 2})
    assert dict(answer.headers)["X-Content-Type-Options"] == "nosniff"
    assert relay.agent.asked == [
        (
            "https://localhost:5051/files/read",
            {"path": [f"{relay.box}/stdout"], "offset": ["2"], "length": ["10"]},
            {"Mesos-On-Behalf-Of": "operator/operator"},
        )
    ]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "/slave/log",
        "/frameworks/F/executors/t",
        "/frameworks/F/executors/t/other/t",
        "/frameworks/F/executors/t/tasks/t/../../../x",
        "/work/slaves/S/frameworks/F/executors/t/runs/c",
    ],
)
def test_only_sandboxes_are_relayed(relay: Relay, path: str) -> None:
    """Anything else is refused before the agent is asked."""
    assert relay.get("browse", f"path={path.replace('F', relay.framework_id)}").status == 400
    assert relay.agent.asked == []


@pytest.mark.parametrize("page", ["state", "files/debug", "files/read/x", "api/v1"])
def test_only_three_pages_are_relayed(relay: Relay, page: str) -> None:
    target = f"/agent/{relay.agent_id}/{page}?path={relay.box}"
    assert relay.world.request("GET", target).status == 404
    assert relay.agent.asked == []


def test_a_framework_sees_its_own_sandboxes(relay: Relay) -> None:
    """And no other's; who proves nothing sees none."""
    query = f"path={relay.box}"
    assert relay.get("browse", query, role=Role.FRAMEWORK).status == 200
    other = relay.get("browse", query, role=Role.FRAMEWORK, name="other")
    assert (other.status, b"may not access a sandbox" in other.body) == (403, True)
    assert relay.get("browse", query, role=Role.AGENT).status == 403
    assert relay.get("browse", query, role=None).status == 401
    assert len(relay.agent.asked) == 1


def test_rules_on_sandboxes_hold_here(make: Make) -> None:
    """The same `access_sandboxes` as on the agents, by the task's user."""
    nobody = {"principals": {"values": ["operator"]}, "users": {"type": "NONE"}}
    acls = {"permissive": True, "access_sandboxes": [nobody]}
    relay = Relay(make(acls=json.dumps(acls)))
    assert relay.get("browse", f"path={relay.box}").status == 403
    assert relay.get("browse", f"path={relay.box}", name="other").status == 200


def test_unknown_things_are_told(relay: Relay) -> None:
    assert b"No agent" in relay.get("browse", f"path={relay.box}", agent_id="S9").body
    gone = relay.get("browse", "path=/frameworks/F/executors/t/tasks/t")
    assert (gone.status, b"No framework" in gone.body) == (404, True)
    assert relay.get("read", f"path={relay.box}&offset=x").status == 400


def test_an_agent_that_cannot_be_reached(relay: Relay) -> None:
    """The sentence names the agent and what to do."""
    relay.agent.answer = NotConnectedError("Cannot connect to localhost:5051: refused")
    answer = relay.get("browse", f"path={relay.box}")
    assert answer.status == 502
    assert b"The agent at localhost:5051 cannot be reached" in answer.body


def test_the_agents_refusal_is_text(relay: Relay) -> None:
    """Whatever it sends, no browser runs it."""
    relay.agent.answer = ClientResponse(404, {"content-type": "text/html"}, b"<script>")
    answer = relay.get("browse", f"path={relay.box}")
    assert (answer.status, answer.content_type) == (404, "text/plain; charset=utf-8")
    relay.agent.answer = ClientResponse(302, {"location": "https://evil"}, b"")
    assert relay.get("browse", f"path={relay.box}").status == 502


def test_where_everyone_may_read_the_agent_is_told_nobody(make: Make) -> None:
    relay = Relay(make(authenticate_http_readonly=False))
    relay.get("browse", f"path={relay.box}", role=None)
    assert relay.agent.asked[0][2] == {"Mesos-On-Behalf-Of": "nobody"}


class Browser:
    """The reader of a download."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = self.aborted = False

    def stream_write(self, data: bytes) -> None:
        self.got += data

    def stream_end(self) -> None:
        self.ended = True

    def stream_abort(self) -> None:
        self.aborted = True


def download(relay: Relay) -> tuple[Browser, StreamWriter]:
    answer = relay.get("download", f"path={relay.box}/out.bin")
    assert isinstance(answer, StreamResponse)
    assert dict(answer.headers)["Content-Disposition"].startswith("attachment")
    browser = Browser()
    writer = StreamWriter(browser, 1 << 20, False, relay.world.service.http.turns)
    answer.on_start(writer)
    return browser, writer


def test_a_download_follows_its_reader(relay: Relay) -> None:
    """As fast as the browser takes it, and whole."""
    browser, writer = download(relay)
    relay.agent.stream.received(b"one")
    writer.paused()
    assert not relay.agent.connection.transport.reading
    writer.resumed()
    assert relay.agent.connection.transport.reading
    relay.agent.stream.received(b"two")
    relay.agent.stream.ended("done", complete=True)
    assert (browser.got, browser.ended) == (b"onetwo", True)


def test_a_download_that_breaks_is_cut(relay: Relay) -> None:
    """Half a file is never shown as a whole one."""
    browser, _ = download(relay)
    relay.agent.stream.received(b"one")
    relay.agent.stream.ended("lost")
    assert (browser.ended, browser.aborted) == (False, True)


def test_a_stalled_download_is_given_up(relay: Relay) -> None:
    """It holds no place for ever, also when its reader left before the answer began."""
    browser, _ = download(relay)
    relay.world.clock.pump([STALL_S / 4] * 6)
    assert browser.aborted and relay.agent.connection.transport.aborted


def test_large_files_are_not_downloaded_here(relay: Relay) -> None:
    body = b'{"data":"","offset":%d}' % (DOWNLOAD_BYTES + 1)
    relay.agent.answer = ClientResponse(200, {}, body)
    answer = relay.get("download", f"path={relay.box}/core")
    assert isinstance(answer, Response) and answer.status == 413
    assert b"https://localhost:5051" in answer.body


def test_few_downloads_at_a_time(relay: Relay) -> None:
    """One that ends makes room for another."""
    streams = []
    for _ in range(8):
        relay.agent.stream = Agent().stream
        streams.append(relay.agent.stream)
        assert relay.get("download", f"path={relay.box}/f").status == 200
    assert relay.get("download", f"path={relay.box}/f").status == 503
    streams[3].close()
    relay.agent.stream = Agent().stream
    assert relay.get("download", f"path={relay.box}/f").status == 200


def test_the_page_asks_who_you_are(make: Make) -> None:
    """The browser's own prompt comes with the page, not behind it."""
    world = make()
    assert world.request("GET", "/", role=None).status == 401
    assert world.request("GET", "/").status == 200
    assert make(authenticate_http_readonly=False).request("GET", "/", role=None).status == 200
