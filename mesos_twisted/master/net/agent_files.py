"""The agents' files through the master, for browsers that reach only the master.

    GET /agent/<agent id>/files/{browse,read,download}?path=/frameworks/F/executors/E/...

Two judges: this master asks its own rules whether the principal may see that sandbox, then asks the
agent over mutual TLS on the principal's behalf, and the agent asks its own rules again. Only
sandboxes are relayed, only these three pages, and everything an agent answers is bounded and
treated as a stranger's content. What is in a sandbox this module refuses to know.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from twisted.internet.defer import Deferred

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import UnavailableError
from mesos_twisted.files.http import JSON, as_attachment
from mesos_twisted.files.walk import OutsideError, components
from mesos_twisted.master.core.state import Agent, Framework, MasterState
from mesos_twisted.master.net.operator_api import Result
from mesos_twisted.protocol.ids import AgentId, ExecutorId, FrameworkId, TaskId, check_id
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import Authorizer, ObjectRef
from mesos_twisted.security.core.principal import ANONYMOUS, Principal, Role
from mesos_twisted.security.net import vouching
from mesos_twisted.security.net.identity import only
from mesos_twisted.transport.client import ClientResponse, ClientStream, HttpClient
from mesos_twisted.transport.messages import (
    MIB,
    Request,
    Response,
    StreamResponse,
    text_response,
)
from mesos_twisted.transport.stream import StreamWriter
from mesos_twisted.transport.tls import IContextSource

#: Largest listing or piece of a file, and largest download, in bytes.
ANSWER_BYTES: Final = 4 * MIB
DOWNLOAD_BYTES: Final = 512 * MIB
ANSWER_S: Final = 15.0
#: A download without progress for so long is given up, in seconds.
STALL_S: Final = 60.0
_MOST: Final = 64
_MOST_DOWNLOADS: Final = 8
_PAGES: Final = frozenset({"browse", "read", "download"})
_NUMBERS: Final = ("offset", "length")
_GUARDED: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("Cache-Control", "no-store"),
)


class AgentFiles:
    """Answers requests below `/agent/`. `everyone` is who asks where nobody must prove anything."""

    def __init__(
        self,
        state: MasterState,
        authorizer: Authorizer,
        everyone: Principal,
        client: HttpClient,
        timers: Timers,
    ) -> None:
        self._state = state
        self._authorizer = authorizer
        self._everyone = everyone
        self.client = client
        self._timers = timers
        self._open = 0
        self._downloads = 0

    def handle(self, request: Request, principal: Principal) -> Result | Deferred[Result]:
        """The answer to a GET of a proven principal."""
        parts = request.path.removeprefix("/master").strip("/").split("/")
        if len(parts) != 4 or parts[2] != "files" or parts[3] not in _PAGES:
            return text_response(
                404, "An agent's files are at /agent/<agent id>/files/{browse,read,download}."
            )
        agent = self._state.agents.get(AgentId(parts[1]))
        if agent is None:
            return text_response(
                404, "No agent of that id is registered here, so its files cannot be read."
            )
        args = request.args()
        path = args.get("path", [""])[0]
        refused = self._refused(principal, agent, path)
        if refused is not None:
            return refused
        asked = {"path": path}
        for name in _NUMBERS:
            value = args.get(name, [""])[0]
            if value:
                if not value.removeprefix("-").isdecimal() or len(value) > 19:
                    return text_response(400, f"The {name} must be a number.")
                asked[name] = value
        if self._open >= _MOST or (parts[3] == "download" and self._downloads >= _MOST_DOWNLOADS):
            return text_response(
                503, "Too many files are being read through this master; try again soon."
            )
        on_behalf = ANONYMOUS if principal is self._everyone else principal
        asking = _Asking(agent, vouching.vouch(on_behalf) or "", asked)
        work = (
            self._download(asking, request.head)
            if parts[3] == "download"
            else self._whole(asking, parts[3])
        )
        return Deferred.fromCoroutine(work)

    def _refused(self, principal: Principal, agent: Agent, path: str) -> Response | None:
        try:
            parts = components(path)
        except OutsideError as error:
            return text_response(400, f"{error}.")
        if (
            len(parts) < 6
            or parts[0] != "frameworks"
            or parts[2] != "executors"
            or parts[4] not in ("runs", "tasks")
            or any(map(check_id, (parts[1], parts[3], parts[5])))
        ):
            return text_response(
                400,
                "Only sandboxes are shown here: "
                "path=/frameworks/<id>/executors/<id>/{runs,tasks}/<id>/...",
            )
        framework_id = FrameworkId(parts[1])
        framework = self._state.frameworks.get(framework_id) or self._state.completed.get(
            framework_id
        )
        if framework is None:
            return text_response(404, "No framework of that id is known here.")
        if principal is self._everyone:
            return None
        owner = _owner(framework, agent.agent_id, ExecutorId(parts[3]))
        verdict = self._authorizer.judge(principal, Action.ACCESS_SANDBOX, owner)
        return None if verdict.allowed else text_response(403, verdict.reason)

    async def _whole(self, asking: _Asking, page: str) -> Result:
        answer = await self._ask(asking, page)
        if isinstance(answer, Response):
            return answer
        return Response(200, answer.body, JSON, _GUARDED)

    async def _ask(self, asking: _Asking, page: str) -> ClientResponse | Response:
        """The agent's good answer, or what to say instead."""
        self._open += 1
        try:
            answer = await self.client.request(
                "GET", asking.url(page), asking.headers, timeout_s=ANSWER_S
            )
        except UnavailableError as error:
            return asking.unreachable(error)
        finally:
            self._open -= 1
        return answer if answer.status == 200 else asking.refusal(answer.status, answer.body)

    async def _download(self, asking: _Asking, head_only: bool) -> Result:
        size = await self._size(asking)
        if isinstance(size, Response):
            return size
        if size > DOWNLOAD_BYTES:
            return text_response(
                413,
                f"The file has {size} bytes and a download through the master at most "
                f"{DOWNLOAD_BYTES}; ask the agent itself at {asking.origin}/files/download.",
            )
        headers = (*as_attachment(asking.query["path"]), ("Cache-Control", "no-store"))
        if head_only:
            return Response(200, b"", "application/octet-stream", headers)
        self._downloads += 1
        try:
            stream = await self.client.open_stream(
                "GET", asking.url("download"), asking.headers, timeout_s=ANSWER_S
            )
        except UnavailableError as error:
            self._downloads -= 1
            return asking.unreachable(error)
        # From here on the watch ends it, also when the peer is gone before the answer begins.
        copy = _Copy(stream, self._timers)
        stream.on_closed(self._download_ended)
        if stream.status != 200:
            return asking.refusal(stream.status, await stream.collect(4096))
        return StreamResponse(200, "application/octet-stream", headers, copy.begin)

    async def _size(self, asking: _Asking) -> int | Response:
        answer = await self._ask(asking.sizing(), "read")
        if isinstance(answer, Response):
            return answer
        try:
            return msgspec.json.decode(answer.body, type=_Size).offset
        except msgspec.MsgspecError:
            return text_response(502, f"{asking.name} gave an answer that cannot be read.")

    def _download_ended(self, reason: str) -> None:
        self._downloads -= 1


class _Size(msgspec.Struct):
    """`/files/read` without an offset tells the file's size."""

    offset: int


class _Asking:
    """What is asked of one agent, and how its refusals are told."""

    __slots__ = ("headers", "name", "origin", "query")

    def __init__(self, agent: Agent, on_behalf: str, query: dict[str, str]) -> None:
        host = f"[{agent.hostname}]" if ":" in agent.hostname else agent.hostname
        self.origin = f"https://{host}:{agent.info.port}"
        self.name = f"The agent at {host}:{agent.info.port}"
        self.headers = ((vouching.HEADER, on_behalf),)
        self.query = query

    def url(self, page: str) -> str:
        """Where the agent answers."""
        return f"{self.origin}/files/{page}?{urlencode(self.query)}"

    def sizing(self) -> _Asking:
        """The same file's size."""
        other = _Asking.__new__(_Asking)
        other.origin, other.name, other.headers = self.origin, self.name, self.headers
        other.query = {"path": self.query["path"]}
        return other

    def unreachable(self, error: UnavailableError) -> Response:
        """The agent gave no (complete) answer."""
        return text_response(
            502,
            f"{self.name} cannot be reached from the master, so its files cannot be shown: "
            f"{str(error).rstrip('.')}. Check that the agent runs.",
        )

    def refusal(self, status: int, body: bytes) -> Response:
        """The agent's own refusal, as text whatever it was."""
        sentence = body[:1000].decode("utf-8", "replace").strip()
        if status in (400, 403, 404):
            return text_response(status, sentence, _GUARDED)
        return text_response(502, f"{self.name} answered {status}: {sentence}", _GUARDED)


class _Copy:
    """A file on its way: read from the agent as fast as the browser takes it."""

    __slots__ = ("_moved", "_started", "_stream", "_timers", "_watch", "_writer")

    def __init__(self, stream: ClientStream, timers: Timers) -> None:
        self._stream = stream
        self._timers = timers
        self._writer: StreamWriter | None = None
        self._moved = 0
        self._started = timers.seconds()
        self._watch: Timer = timers.every(STALL_S / 4, self._look)
        stream.on_closed(self._ended)

    def begin(self, writer: StreamWriter) -> None:
        """The head is sent; now the body."""
        self._writer = writer
        writer.on_closed(lambda reason: self._stream.close())
        writer.on_flow(self._flow)
        self._stream.on_data(self._data)

    def _flow(self, ready: bool) -> None:
        self._started = self._timers.seconds()
        if ready:
            self._stream.resume()
        else:
            self._stream.pause()

    def _data(self, data: bytes) -> None:
        self._started = self._timers.seconds()
        self._moved += len(data)
        writer = self._writer
        if writer is None:
            return
        if self._moved > DOWNLOAD_BYTES:
            writer.abort("The file grew past what one download may be")
            return
        writer.write_chunk(data)

    def _look(self) -> None:
        if self._timers.seconds() - self._started > STALL_S:
            self._stream.close()

    def _ended(self, reason: str) -> None:
        self._watch.cancel()
        writer = self._writer
        if writer is None or writer.closed:
            return
        if self._stream.complete:
            writer.close()
        else:
            # A cut connection is the only way left to say that the file is not whole.
            writer.abort(f"The agent's file did not come whole: {reason}")


def agents_client(reactor: Any, contexts: IContextSource, cluster: str | None) -> HttpClient:
    """An HTTP client that speaks to agents of this cluster alone, whatever an address answers."""
    return HttpClient(
        reactor,
        contexts,
        connections=4,
        max_body_bytes=ANSWER_BYTES,
        vet=only(Role.AGENT, cluster),
    )


def _owner(framework: Framework, agent_id: AgentId, executor_id: ExecutorId) -> ObjectRef:
    """Whose sandbox it is, as far as the master knows; the agent looks closer."""
    info = framework.info
    user = info.user
    custom = framework.executors.get(agent_id, {}).get(executor_id)
    if custom is not None:
        if custom.info.command is not None and custom.info.command.user:
            user = custom.info.command.user
    else:
        # A command task's executor carries the task's id.
        task_id = TaskId(executor_id)
        task = framework.tasks.get(task_id) or framework.unreachable.get(task_id)
        if task is None:
            task = next((t for t in framework.completed if t.task_id == task_id), None)
        if task is not None:
            user = task.fixed().user or user
    return ObjectRef(
        principal=info.principal or framework.principal,
        user=user,
        roles=framework.roles,
        framework_id=framework.framework_id,
        executor_id=executor_id,
    )
