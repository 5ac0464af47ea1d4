"""The command line's way to the cluster: v1 operator calls and sandbox files, with clear failures.

Everything goes over TLS with the caller's certificate or secret. A refusal becomes the exception
that gives the command its exit code; see `cli.context`.
"""

from __future__ import annotations

from random import SystemRandom
from typing import Any
from urllib.parse import urlencode

from mesos_twisted.cli.settings import Settings
from mesos_twisted.election.leader import find_masters
from mesos_twisted.errors import MalformedError, MesosError, RefusedError, UnavailableError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.client import ClientResponse, HttpClient
from mesos_twisted.transport.leader import LeaderClient

JSON_HEADERS = (("Content-Type", "application/json"), ("Accept", "application/json"))


class NotFoundError(MesosError):
    """What was asked for is not there."""


class DeniedError(RefusedError):
    """The caller may not do this."""


class TimedOutError(MesosError):
    """What was waited for did not come in time."""


class Cluster:
    """The cluster as one caller sees it."""

    def __init__(self, reactor: Any, settings: Settings) -> None:
        files = CertificateFiles(
            ca_bundle=settings.cacert, cert=settings.cert, key=settings.key or settings.cert
        )
        try:
            contexts = ContextSource(files)
        except MesosError as error:
            # A file of the caller's is not good: that is the caller's to mend, not the network's.
            raise MalformedError(str(error)) from None
        self.http = HttpClient(reactor, contexts)
        secure = contexts if settings.zk_tls.lower() == "true" else None
        masters = find_masters(reactor, settings.masters, SystemRandom().random, secure)
        self.leader = LeaderClient(self.http, masters)
        self.headers = settings.headers()
        self.principal = settings.principal

    async def call(self, call: m.MasterCall) -> m.MasterResponse:
        """A v1 operator call to the leading master."""
        answer = await self.leader.request(
            "POST", "/api/v1", (*JSON_HEADERS, *self.headers), codec_json.encode(call)
        )
        body = _checked(answer)
        return codec_json.decode(m.MasterResponse, body) if body else m.MasterResponse()

    async def kill_task(self, framework_id: str, task_id: str) -> None:
        """Ask the leading master to end one task."""
        body = urlencode({"frameworkId": framework_id, "taskId": task_id}).encode()
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        answer = await self.leader.request("POST", "/kill-task", (kind, *self.headers), body)
        _checked(answer)

    async def state(self) -> dict[str, Any]:
        """The master's `/state` document."""
        answer = await self.leader.request("GET", "/state", self.headers)
        document = codec_json.parse(_checked(answer))
        assert isinstance(document, dict)
        return document

    async def tasks(self) -> list[dict[str, Any]]:
        """Every task the caller may see, live ones first, as in `/state`."""
        state = await self.state()
        out: list[dict[str, Any]] = []
        for key in ("tasks", "unreachable_tasks", "completed_tasks"):
            for framework in (*state["frameworks"], *state["completed_frameworks"]):
                out += framework.get(key, ())
        return out

    async def task(self, task_id: str) -> dict[str, Any]:
        """The task of that id, or of which it is the unambiguous start. Raises NotFoundError."""
        tasks = await self.tasks()
        exact = [task for task in tasks if task["id"] == task_id]
        found = exact or [task for task in tasks if task["id"].startswith(task_id)]
        if not found:
            raise NotFoundError(f"No task '{task_id}' is known to the master")
        if len({(task["framework_id"], task["id"]) for task in found}) > 1 and not exact:
            some = ", ".join(sorted(task["id"] for task in found)[:5])
            raise NotFoundError(f"Several tasks start with '{task_id}': {some}")
        return found[0]

    async def agent_url(self, agent_id: str) -> str:
        """https://host:port of an agent. Raises NotFoundError."""
        answer = await self.call(m.MasterCall(type=m.MasterCallType.GET_AGENTS))
        for agent in answer.get_agents.agents if answer.get_agents else ():
            info = agent.agent_info
            if info.id is not None and info.id.value == agent_id:
                return f"https://{info.hostname}:{info.port or 5051}"
        raise NotFoundError(f"The agent {agent_id} is not registered")

    async def read(self, agent_url: str, path: str, offset: int) -> bytes:
        """The next bytes of a sandbox file from `offset` on; empty: no more yet."""
        call = m.AgentCall(
            type=m.AgentCallType.READ_FILE,
            read_file=m.AgentCallReadFile(path=path, offset=offset),
        )
        answer = await self.http.request(
            "POST", f"{agent_url}/api/v1", (*JSON_HEADERS, *self.headers), codec_json.encode(call)
        )
        response = codec_json.decode(m.AgentResponse, _checked(answer))
        return response.read_file.data if response.read_file else b""

    async def close(self) -> None:
        """Drop every connection."""
        await self.leader.close()


def sandbox(framework_id: str, task_id: str, executor_id: str) -> str:
    """The virtual path of a task's sandbox; `executor_id` is empty for a task of its own."""
    path = f"/frameworks/{framework_id}/executors/{executor_id or task_id}/runs/latest"
    return path if not executor_id else f"{path}/tasks/{task_id}"


def _checked(answer: ClientResponse) -> bytes:
    """The body of a good answer. Raises the exception that fits a bad one."""
    if answer.status in (200, 202):
        return answer.body
    text = answer.body.decode("utf-8", "replace").strip() or f"HTTP status {answer.status}"
    if answer.status in (401, 403):
        raise DeniedError(f"Not allowed: {text}")
    if answer.status == 404:
        raise NotFoundError(text)
    if answer.status >= 500:
        raise UnavailableError(f"The server could not answer: {text}")
    raise RefusedError(text)
