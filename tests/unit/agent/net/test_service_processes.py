"""Executors and pods outlive a whole agent, and secrets stay secret: real processes and files."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from service_world import F, World, framework, task
from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogPublisher
from zope.interface import implementer

from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId

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
