"""Every path of the agent's TLS port: old pages, `/api/v1`, files, metrics, health.

Paths work bare and below `/slave(1)`, with and without a trailing `/` or `.json`; the longest known
prefix wins, so `/api/v1/anything` is `/api/v1`. Who asks is proven here, once; what may be seen is
asked of the authorizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.defer import Deferred

from mesos_twisted.agent.core.state import AgentState, Phase
from mesos_twisted.agent.net.call_body import challenged, only, only_post
from mesos_twisted.agent.net.executor_api import PATH as EXECUTOR_PATH
from mesos_twisted.agent.net.executor_api import ExecutorApi
from mesos_twisted.agent.net.operator_v1 import OperatorCalls
from mesos_twisted.agent.net.usage_cache import UsageCache
from mesos_twisted.agent.views import containers, state_v0
from mesos_twisted.agent.views.facts import Facts
from mesos_twisted.agent.views.visible import Visible
from mesos_twisted.files.http import FilesApi, json_response, to_json
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import Authorizer, ObjectRef
from mesos_twisted.security.core.principal import ANONYMOUS, Principal, Role
from mesos_twisted.security.net import vouching
from mesos_twisted.security.net.browsers import is_foreign
from mesos_twisted.security.net.http_auth import Authenticator, Challenge
from mesos_twisted.security.net.identity import IdentityCache, PeerIdentity, Side
from mesos_twisted.transport.messages import (
    ChunkedBody,
    Request,
    Response,
    StreamResponse,
    text_response,
)

Result: TypeAlias = Response | StreamResponse | ChunkedBody
Page: TypeAlias = "Callable[[Request, Principal], Result | Deferred[Result]]"
PREFIX = "/slave(1)"
#: Who asks without having to prove anything where authentication is off.
_NOBODY_NEEDED = Principal("anonymous", Role.OPERATOR)
_FOREIGN = Challenge(403, (), "Pages of other sites may not ask this agent in your name.")
_UNPROVEN = Challenge(
    403, (), "This agent shows sandboxes to known principals only, and the master named none."
)


class Guard:
    """Proves who asks; one realm for reading, one for changing."""

    def __init__(
        self,
        reading: Authenticator | None,
        changing: Authenticator | None,
        cluster: str | None = None,
    ) -> None:
        """None where the operator turned authentication off."""
        self._reading = reading
        self._changing = changing
        self._identities = IdentityCache(Side.CLIENT, cluster)

    def principal(self, request: Request, changes: bool) -> Principal | Challenge:
        """Who asks, or what is missing."""
        authenticator = self._changing if changes else self._reading
        certificate = request.peer.certificate
        identity = None if certificate is None else self._identities.identify(certificate)
        if _FOR in request.headers and isinstance(identity, PeerIdentity) and not changes:
            asker = _asker(request, identity.principal)
            if asker is not None and (asker != ANONYMOUS or authenticator is not None):
                return _UNPROVEN if asker == ANONYMOUS else asker
        # Where nobody proves anything, a browser's place in the network is proof enough to change.
        if (authenticator is not None or changes) and is_foreign(request.headers, changing=changes):
            return _FOREIGN
        if authenticator is None:
            return _NOBODY_NEEDED
        return authenticator.authenticate(request.headers, identity, request.peer.address)


_FOR = vouching.HEADER.lower()


def _asker(request: Request, peer: Principal) -> Principal | None:
    """For whom a master asks for a file; None when the peer speaks for itself."""
    if peer.role is not Role.MASTER or not canonical(request.path).startswith("/files/"):
        return None
    return vouching.vouched(request.headers[_FOR])


class AgentPages:
    """`handle` is the handler of the TLS port's HTTP server."""

    def __init__(
        self,
        state: AgentState,
        facts: Facts,
        guard: Guard,
        authorizer: Authorizer,
        executors: ExecutorApi,
        calls: OperatorCalls,
        files: FilesApi,
        metrics: Metrics,
        usage: UsageCache,
        master_hostname: Callable[[], str | None],
        prometheus: Callable[[dict[str, float]], bytes],
    ) -> None:
        self._state = state
        self._facts = facts
        self._guard = guard
        self._authorizer = authorizer
        self._executors = executors
        self._calls = calls
        self._files = files
        self._metrics = metrics
        self._usage = usage
        self._master_hostname = master_hostname
        self._prometheus = prometheus
        self._open: dict[str, Callable[[Request], Result]] = {
            "/health": lambda request: Response(200),
            "/livez": lambda request: Response(200, b"ok\n"),
            "/readyz": self._ready,
            "/version": self._version,
        }
        self._pages: dict[str, Page] = {
            "/state": self._state_page,
            "/flags": self._flags,
            "/metrics/snapshot": self._snapshot,
            "/metrics": self._scrape,
            "/monitor/statistics": self._usage_page,
            "/containers": self._containers_page,
            "/containerizer/debug": self._debug,
            "/files/browse": self._file("browse"),
            "/files/read": self._file("read"),
            "/files/download": self._file("download"),
            "/files/debug": self._file("debug"),
        }

    def handle(self, request: Request) -> Result | Deferred[Result]:
        """The answer to any request."""
        path = canonical(request.path)
        if path == EXECUTOR_PATH:
            return self._executors.request(request)
        if path == "/api/v1" or path.startswith("/api/v1/"):
            return self._api(request)
        if request.method != "GET":
            known = path in self._open or path in self._pages
            return only("GET", request.method) if known else _unknown()
        free = self._open.get(path)
        if free is not None:
            return free(request)
        page = self._pages.get(path)
        if page is None:
            return _unknown()
        principal = self._guard.principal(request, changes=False)
        if isinstance(principal, Challenge):
            return challenged(principal)
        return page(request, principal)

    def _api(self, request: Request) -> Result | Deferred[Result]:
        if request.method != "POST":
            return only_post(request.method)
        principal = self._guard.principal(request, changes=True)
        if isinstance(principal, Challenge):
            return challenged(principal)
        if self._recovering():
            return text_response(503, "Agent has not finished recovery")
        return Deferred.fromCoroutine(self._calls.answer(request, principal))

    def _recovering(self) -> bool:
        return self._state.phase is Phase.RECOVERING

    def _ready(self, request: Request) -> Response:
        if self._state.phase is Phase.RUNNING:
            return Response(200, b"ok\n")
        return text_response(503, f"The agent is {self._state.phase.value}\n")

    def _version(self, request: Request) -> Response:
        return json_response(to_json(self._facts.version_document()), request)

    def _state_page(self, request: Request, principal: Principal) -> Response:
        if self._recovering():
            return text_response(503, "Agent has not finished recovery")
        visible = Visible(self._authorizer, principal)
        document = state_v0.document(self._state, self._facts, visible, self._master_hostname())
        return json_response(to_json(document), request)

    def _flags(self, request: Request, principal: Principal) -> Response:
        verdict = self._authorizer.judge(principal, Action.VIEW_FLAGS)
        if not verdict.allowed:
            return text_response(403, verdict.reason + "\n")
        return json_response(to_json({"flags": dict(self._facts.flags)}), request)

    def _endpoint(self, principal: Principal, path: str) -> Response | None:
        verdict = self._authorizer.judge(principal, Action.GET_ENDPOINT, ObjectRef(path=path))
        return None if verdict.allowed else text_response(403, verdict.reason + "\n")

    def _snapshot(self, request: Request, principal: Principal) -> Response:
        refused = self._endpoint(principal, "/metrics/snapshot")
        return refused or json_response(to_json(self._metrics.snapshot()), request)

    def _scrape(self, request: Request, principal: Principal) -> Response:
        refused = self._endpoint(principal, "/metrics/snapshot")
        if refused is not None:
            return refused
        body = self._prometheus(self._metrics.snapshot())
        return Response(200, body, "text/plain; version=0.0.4; charset=utf-8")

    def _usage_page(self, request: Request, principal: Principal) -> Deferred[Result]:
        return Deferred.fromCoroutine(self._rows(request, principal, "/monitor/statistics"))

    def _containers_page(self, request: Request, principal: Principal) -> Deferred[Result]:
        return Deferred.fromCoroutine(self._rows(request, principal, "/containers"))

    async def _rows(self, request: Request, principal: Principal, path: str) -> Result:
        refused = self._endpoint(principal, path)
        if refused is not None:
            return refused
        visible = Visible(self._authorizer, principal)
        args = request.args()
        rows = [
            one
            for one in containers.shown(self._state, visible)
            if _asked(args, "framework_id", one.framework.id)
            and _asked(args, "executor_id", one.executor.id)
            and _asked(args, "container_id", one.container.id)
        ]
        usage = await self._usage.of([one.container.id for one in rows])
        full = path == "/containers"
        return json_response(to_json([containers.to_v0(one, usage, full) for one in rows]), request)

    def _debug(self, request: Request, principal: Principal) -> Response:
        refused = self._endpoint(principal, "/containerizer/debug")
        return refused or json_response(to_json({"pending": []}), request)

    def _file(self, page: str) -> Page:
        def answer(request: Request, principal: Principal) -> Result:
            if page == "debug":
                refused = self._endpoint(principal, "/files/debug")
                if refused is not None:
                    return refused
            return self._files.handle(page, request, principal)

        return answer


def canonical(path: str) -> str:
    """The path without the process's name, `.json`, and slashes at its end."""
    if path == PREFIX or path.startswith(PREFIX + "/"):
        path = path[len(PREFIX) :]
    path = path.rstrip("/")
    return path.removesuffix(".json") if not path.startswith("/files/") else path


def _unknown() -> Response:
    return text_response(404, "404 Not Found.")


def _asked(args: dict[str, list[str]], name: str, value: str) -> bool:
    wanted = args.get(name, [""])[0]
    return not wanted or wanted == value
