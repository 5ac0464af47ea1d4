"""A whole agent but its master: real launcher, processes, sockets and files."""

from __future__ import annotations

import dataclasses
import http.server
import io
import os
import ssl
import stat
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogPublisher
from zope.interface import implementer

from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net.leader import FixedMasters
from mesos_twisted.agent.net.service import AgentService
from mesos_twisted.config import load
from mesos_twisted.local.layout import Layout, prepare
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, FrameworkId, TaskId
from mesos_twisted.transport.messages import Peer, Request, Response

F, LINK = "f", ConnectionId(1)
DEADLINE_S = 30
CANARY = "canary-5a1f-in-the-mine"

EXECUTOR = """
import base64, http.client, json, os, socket, sys, time, uuid
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["MESOS_DOMAIN_SOCKET"])
def post(body):
    body = {"framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
            "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]}, **body}
    c = Unix("agent", timeout=30)
    c.request("POST", "/api/v1/executor", json.dumps(body), {"Content-Type": "application/json"})
    return c.getresponse()
tasks, updates = {}, {}
def update(task, state):
    uid = base64.b64encode(uuid.uuid4().bytes).decode()
    updates[uid] = {"status": {"task_id": task, "state": state, "source": "SOURCE_EXECUTOR",
        "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]}, "uuid": uid}}
    post({"type": "UPDATE", "update": updates[uid]}).read()
def handle(event):
    if event["type"] == "LAUNCH":
        task = event["launch"]["task"]
        tasks[task["task_id"]["value"]] = task
        update(task["task_id"], "TASK_RUNNING")
    elif event["type"] == "ACKNOWLEDGED":
        updates.pop(event["acknowledged"]["uuid"], None)
        tasks.pop(event["acknowledged"]["task_id"]["value"], None)
    elif event["type"] == "KILL":
        update(event["kill"]["task_id"], "TASK_KILLED")
    elif event["type"] == "SHUTDOWN":
        sys.exit(0)
while True:
    try:
        stream = post({"type": "SUBSCRIBE", "subscribe": {
            "unacknowledged_tasks": list(tasks.values()),
            "unacknowledged_updates": list(updates.values())}})
        if stream.status == 200:
            while line := stream.readline():
                handle(json.loads(stream.read(int(line))))
    except (OSError, http.client.HTTPException, ValueError):
        pass
    time.sleep(0.05)  # an agent that starts again tells nobody
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("cluster"), 1)
    prepare(layout)
    return layout


@pytest.fixture(scope="module")
def reactor() -> Iterator[EPollReactor]:
    """A reactor of our own, turned by hand, never run."""
    made = EPollReactor()
    made.startRunning(installSignalHandlers=True)
    yield made
    made.fireSystemEvent("shutdown")
    made.iterate(0)


class Recorder:
    """Stands for the link to a master."""

    def __init__(self) -> None:
        self.sent: list[agentlink.FromAgent] = []

    def send(self, message: agentlink.FromAgent) -> None:
        self.sent.append(message)

    def reconnect(self, reason: str) -> None:
        """There is no other master."""


class World:
    """The agents that came and went over one work directory."""

    def __init__(self, reactor: EPollReactor, layout: Layout, directory: Path) -> None:
        self.ended: list[tuple[int, str]] = []
        self.reactor, self.directory = reactor, directory
        name = next(iter(layout.agent_names()))
        argv = [
            "--master=localhost:1",
            "--port=0",
            f"--work_dir={directory}/work",
            f"--runtime_dir={directory}/run",
            f"--launcher_dir={layout.root}/launcher",
            f"--tls_ca_file={layout.ca}",
            f"--tls_cert_file={layout.cert(name)}",
            f"--tls_key_file={layout.key(name)}",
            "--resources=cpus:8;mem:8000;disk:1000",
            "--no-authenticate_http_readonly",
            "--no-switch_user",
            "--http_executor_domain_sockets",
            "--executor_reregistration_timeout=10secs",
        ]
        self.config = load(AgentConfig, argv, {}).config
        self.boot()

    def boot(self) -> None:
        self.link = Recorder()
        self.agent = AgentService(
            self.config,
            self.reactor,
            time.time,
            lambda code, message: self.ended.append((code, message)),
            lambda level, seconds: None,
            FixedMasters(()),
        )
        self.settle(self.agent.start())
        assert not self.ended, self.ended
        # Any port at first; an agent that comes back must be where it was.
        self.config = dataclasses.replace(self.config, port=self.agent.port)
        self.agent.driver.ports.link = self.link
        self.agent.driver.handle(ev.LinkOpened(LINK, time.time()))
        kind = agentlink.Reregistered if self.agent.state.agent_id else agentlink.Registered
        self.say(kind(agent_id="S0", master_id="M", ping_timeout_s=75.0))

    def abandon(self) -> None:
        """As after SIGKILL: nothing is told to anybody, what is open is cut."""
        agent = self.agent
        agent.driver.stop()
        agent._containers.stop()
        agent._link.stop()
        agent._launcher.close()
        agent._timers.cancel_all()
        for server in agent._servers:
            for connection in server.connections():
                connection.abort()
        done: list[object] = []
        for listener in [*agent._listeners, *agent._endpoint.listeners]:
            listener.stop_listening().addBoth(done.append)
        self.until(lambda: len(done) == 3)
        assert agent._store is not None
        agent._store.close()

    def settle(self, coroutine: Any) -> None:
        got: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(got.append)
        self.until(lambda: got)
        if got[0] is not None:
            got[0].raiseException()

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"it did not come to pass: {self.link.sent} {self.ended}"
            self.reactor.iterate(0.02)

    def say(self, message: agentlink.FromMaster) -> None:
        self.agent.driver.handle(ev.MasterSaid(LINK, message, time.time()))

    def run(self, task_id: str, command: str | None, **more: Any) -> None:
        self.say(agentlink.RunTask(framework=framework(), task=task(task_id, command, **more)))

    def told(self, task_id: str) -> list[m.TaskStatus]:
        """Every update that went to this master, without those told again."""
        found: dict[bytes | None, m.TaskStatus] = {}
        for one in self.link.sent:
            if isinstance(one, agentlink.StatusUpdate) and one.status.task_id.value == task_id:
                found[one.status.uuid] = one.status
        return list(found.values())

    def await_state(self, task_id: str, state: str, acknowledge: bool = True) -> m.TaskStatus:
        """Acknowledges what is told until the task is in that state."""
        while True:
            self.until(lambda: self.pending(task_id))
            status = self.pending(task_id)[0]
            if status.state.value == state and not acknowledge:
                return status
            assert status.uuid is not None
            acknowledgement = agentlink.Acknowledge(
                framework_id=F, task_id=task_id, uuid=status.uuid
            )
            self.say(acknowledgement)
            if status.state.value == state:
                return status

    def pending(self, task_id: str) -> list[m.TaskStatus]:
        stream = self.agent.state.streams.get((FrameworkId(F), TaskId(task_id)))
        return [] if stream is None else list(stream.pending)

    def get(self, path: str) -> bytes:
        request = Request("GET", path, path.encode(), "", {}, b"", Peer("127.0.0.1", 1))
        got: list[Any] = []
        answer = self.agent._handle(request)
        if isinstance(answer, Deferred):
            answer.addBoth(got.append)
            self.until(lambda: got)
            answer = got[0]
        if isinstance(answer, Response):
            assert answer.status == 200, answer
            return answer.body
        return b"".join(answer.chunks)

    def stop(self) -> None:
        """Every task is killed, and nothing stays."""
        self.agent.driver.handle(ev.ShutdownAsked(time.time()))
        self.until(lambda: self.agent._leaving)
        self.settle(self.agent.stop())


def framework() -> m.FrameworkInfo:
    return m.FrameworkInfo(user="root", name="n", id=m.FrameworkID(value=F), checkpoint=True)


def task(task_id: str, command: str | None, **more: Any) -> m.TaskInfo:
    scalars = {"cpus": 0.1, "mem": 32.0}
    return m.TaskInfo(
        name=task_id,
        task_id=m.TaskID(value=task_id),
        agent_id=m.AgentID(value="S0"),
        resources=tuple(
            m.Resource(name=n, type=m.ValueType.SCALAR, scalar=m.ValueScalar(value=v))
            for n, v in scalars.items()
        ),
        command=more.pop("info", None if command is None else m.CommandInfo(value=command)),
        **more,
    )


@pytest.fixture
def world(reactor: EPollReactor, certificates: Layout) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="a") as directory:
        made = World(reactor, certificates, Path(directory))
        yield made
        made.stop()


@pytest.mark.parametrize("how", ["term", "kill"])
def test_executors_and_pods_outlive_the_agent(world: World, how: str) -> None:
    """A custom executor comes back by the Unix socket; nothing that was told is lost."""
    script = world.directory / "executor.py"
    script.write_text(EXECUTOR)
    executor = m.ExecutorInfo(
        executor_id=m.ExecutorID(value="e"),
        command=m.CommandInfo(value=f"exec {sys.executable} -S -E {script}"),
    )
    world.run("custom", None, executor=executor)
    pod = m.ExecutorInfo(executor_id=m.ExecutorID(value="pod"), type=m.ExecutorInfoType.DEFAULT)
    members = m.TaskGroupInfo(tasks=(task("a", "sleep 60"), task("b", "sleep 60")))
    group = agentlink.RunTaskGroup(framework=framework(), executor=pod, task_group=members)
    world.say(group)
    for name in ("a", "b"):
        world.await_state(name, "TASK_RUNNING")
    owed = world.await_state("custom", "TASK_RUNNING", acknowledge=False)
    if how == "term":
        world.settle(world.agent.stop())
    else:
        world.abandon()
    world.boot()
    again = world.await_state("custom", "TASK_RUNNING")
    assert again.uuid == owed.uuid
    run = world.agent.state.frameworks[FrameworkId(F)].executors
    world.until(lambda: all(not one.recovered for one in run.values()))
    for name in ("a", "b", "custom"):
        assert not world.pending(name)
        world.say(agentlink.KillTask(framework_id=F, task_id=name))
    for name in ("a", "b", "custom"):
        world.await_state(name, "TASK_KILLED")


def test_secrets_stay_secret(world: World) -> None:
    """A secret variable reaches its task, and shows in no answer, log, file or command line."""
    secret = m.Secret(type=m.SecretType.VALUE, value=m.SecretValue(data=CANARY.encode()))
    variable = m.EnvironmentVariable(
        name="PASSWORD", type=m.EnvironmentVariableType.SECRET, secret=secret
    )
    environment = m.Environment(variables=(variable,))
    command = m.CommandInfo(value='test "${#PASSWORD}" -eq 23 && sleep 60', environment=environment)
    said: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        said.append(eventAsText(event))
        said.append(str({k: v for k, v in event.items() if isinstance(v, str | bytes)}))

    globalLogPublisher.addObserver(observe)
    try:
        world.run("t", None, info=command)
        world.await_state("t", "TASK_RUNNING")
        for path in ("/state", "/containers", "/monitor/statistics", "/metrics/snapshot", "/flags"):
            assert CANARY.encode() not in world.get(path), path
    finally:
        globalLogPublisher.removeObserver(observe)
    assert CANARY not in "".join(said)
    launcher = world.agent._launcher.pid
    for name in ("cmdline", "environ"):
        assert CANARY.encode() not in Path(f"/proc/{launcher}/{name}").read_bytes()
    meta = world.directory / "work" / "meta"
    assert stat.S_IMODE(meta.stat().st_mode) == 0o700
    assert stat.S_IMODE((meta / "checkpoints.db").stat().st_mode) == 0o600
    for root, _, names in os.walk(world.directory):
        for name in names:
            file = Path(root, name)
            if file.is_file() and CANARY.encode() in file.read_bytes():
                assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


class Answers(http.server.BaseHTTPRequestHandler):
    """200, or what the server was told."""

    def do_GET(self) -> None:
        self.send_response(getattr(self.server, "answer", 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(params=["HTTP", "HTTPS", "TCP", "COMMAND"])
def check(request: pytest.FixtureRequest, certificates: Layout) -> Iterator[tuple[Any, Any, Any]]:
    """(fields of a check, make it fail, kind)"""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    if request.param == "HTTPS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        name = next(iter(certificates.agent_names()))
        context.load_cert_chain(certificates.cert(name), certificates.key(name))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    ended: list[bool] = []

    def end() -> None:
        if not ended:
            ended.append(True)
            server.shutdown()
            server.server_close()
            thread.join()

    def fail() -> None:
        if request.param == "TCP":
            end()
        else:
            server.answer = 500  # type: ignore[attr-defined]  # a free attribute of ours

    yield request.param, server.server_port, fail
    end()


def health(kind: str, port: int, flag: Path) -> m.HealthCheck:
    common: dict[str, Any] = {
        "delay_seconds": 0.0,
        "interval_seconds": 0.05,
        "timeout_seconds": 5.0,
        "consecutive_failures": 1,
        "grace_period_seconds": 0.0,
    }
    if kind == "COMMAND":
        command = m.CommandInfo(value=f"test ! -e {flag}")
        return m.HealthCheck(type=m.HealthCheckType.COMMAND, command=command, **common)
    if kind == "TCP":
        tcp = m.HealthCheckTCPCheckInfo(port=port)
        return m.HealthCheck(type=m.HealthCheckType.TCP, tcp=tcp, **common)
    http_check = m.HealthCheckHTTPCheckInfo(port=port, scheme=kind.lower(), path="/")
    return m.HealthCheck(type=m.HealthCheckType.HTTP, http=http_check, **common)


def test_a_task_that_becomes_unhealthy_is_killed(
    world: World, check: tuple[str, int, Callable[[], None]]
) -> None:
    """`healthy` is told when it passes, and with the end."""
    kind, port, fail = check
    flag = world.directory / "flag"
    world.run("t", "sleep 60", health_check=health(kind, port, flag))
    while not world.await_state("t", "TASK_RUNNING").healthy:
        pass
    flag.touch()
    fail()
    while (status := world.await_state("t", "TASK_RUNNING")).healthy:
        pass
    assert status.healthy is False
    killed = world.await_state("t", "TASK_KILLED")
    assert killed.healthy is False


def test_a_general_check_shows_its_outcome(world: World) -> None:
    """The exit code of a command, in each update that changes it."""
    flag = world.directory / "flag"
    general = m.CheckInfo(
        type=m.CheckInfoType.COMMAND,
        command=m.CheckInfoCommand(command=m.CommandInfo(value=f"test -e {flag}")),
        delay_seconds=0.0,
        interval_seconds=0.05,
        timeout_seconds=5.0,
    )
    world.run("t", "sleep 60", check=general)

    def code() -> int | None:
        shown = world.await_state("t", "TASK_RUNNING").check_status
        command = None if shown is None else shown.command
        return None if command is None else command.exit_code

    while code() != 1:
        pass
    flag.touch()
    while code() != 0:
        pass


def archive() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        info = tarfile.TarInfo("inside")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"tar\n"))
    return made.getvalue()


FILES = {"/a.tgz": archive(), "/run": b"#!/bin/sh\necho ran\n", "/plain": b"plain\n"}


class Files(http.server.BaseHTTPRequestHandler):
    """Serves FILES, and counts."""

    asked: Counter[str] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        body = FILES.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def web() -> Iterator[str]:
    Files.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def uri(value: str, **more: Any) -> m.CommandInfoURI:
    return m.CommandInfoURI(value=value, **more)


def test_a_task_finds_what_it_asked_for(world: World, web: str) -> None:
    """Unpacked, made executable, and under the name it asked for."""
    words = "cat inside out/name && ./run && test ! -e plain"
    uris = (
        uri(f"{web}/a.tgz"),
        uri(f"{web}/run", executable=True),
        uri(f"{web}/plain", output_file="out/name", extract=False),
    )
    world.run("t", None, info=m.CommandInfo(value=words, uris=uris))
    status = world.await_state("t", "TASK_FINISHED")
    assert status.message == "Command exited with status 0"


def test_a_cached_file_is_served_once(world: World, web: str) -> None:
    """To tasks at once and to one after them."""
    command = m.CommandInfo(value="grep plain plain", uris=(uri(f"{web}/plain", cache=True),))
    for name in ("a", "b"):
        world.run(name, None, info=command)
    for name in ("a", "b"):
        world.await_state(name, "TASK_FINISHED")
    world.run("c", None, info=command)
    world.await_state("c", "TASK_FINISHED")
    assert Files.asked == {"/plain": 1}


def test_what_is_not_there_fails_the_task_in_a_sentence(world: World, web: str) -> None:
    """It names the container, the address and the answer."""
    world.run("t", None, info=m.CommandInfo(value="true", uris=(uri(f"{web}/none"),)))
    status = world.await_state("t", "TASK_FAILED")
    assert status.message is not None
    assert f"{web}/none" in status.message and "404" in status.message
