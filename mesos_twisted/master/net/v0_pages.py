"""The legacy pages of the master: what each path answers, and to whom.

Which document a page holds is made in the views; this module reads the query, asks who may see it
and picks the content type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
from twisted.internet.defer import Deferred

from mesos_twisted.errors import MalformedError
from mesos_twisted.files.http import FilesApi
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.master.net.gate import Gate, Realm, method_not_allowed
from mesos_twisted.master.net.operator_api import OperatorApi, Result
from mesos_twisted.master.views import documents, roles, weights
from mesos_twisted.master.views.facts import Facts
from mesos_twisted.master.views.pages import TASK_LIMIT, Pages, TaskCounts
from mesos_twisted.master.views.visible import EVERYTHING, Visible, visible_to
from mesos_twisted.metrics import prometheus, snapshot
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import ObjectRef
from mesos_twisted.security.core.principal import Principal
from mesos_twisted.transport.messages import ChunkedBody, Request, Response, text_response
from mesos_twisted.turns import Turns
from mesos_twisted.units import parse_duration

Answer = Result | Deferred[Result]
Page = Callable[[Request, Principal], Answer]

JSON: Final = "application/json"
_CALLBACK: Final = re.compile(r"[A-Za-z_$][\w$.\[\]]{0,127}", re.ASCII)
_NOSNIFF: Final = (("X-Content-Type-Options", "nosniff"),)
#: In the order of Mesos's own levels.
_MAINTENANCE: Final = "Maintenance is not built into this master; the schedule is always empty."
_QUOTA: Final = "Quota is not built into this master; no role has one."
_RESERVE: Final = "Operators' reservations are not built into this master."


class V0Pages:
    """The pages; `routes()` names them for the router."""

    def __init__(
        self,
        state: MasterState,
        gate: Gate,
        readonly: Realm,
        readwrite: Realm,
        pages: Pages,
        facts: Facts,
        metrics: Metrics,
        operator: OperatorApi,
        files: FilesApi,
        turns: Turns,
    ) -> None:
        self._state = state
        self._gate = gate
        self._readonly = readonly
        self._readwrite = readwrite
        self._pages = pages
        self._facts = facts
        self._metrics = metrics
        self._operator = operator
        self._files = files
        self._turns = turns

    def routes(self) -> dict[str, Callable[[Request], Answer]]:
        """Path to handler. Paths below one of them belong to it as well."""
        read, leading = self._reading, self._leading
        return {
            "/health": _empty,
            "/livez": _empty,
            "/readyz": self._readyz,
            "/version": self._version,
            "/redirect": self._redirect,
            "/flags": read(self._flags),
            "/metrics": read(self._prometheus),
            "/metrics/snapshot": read(self._snapshot),
            "/files/browse": read(lambda r, p: self._files.handle("browse", r, p)),
            "/files/read": read(lambda r, p: self._files.handle("read", r, p)),
            "/files/download": read(lambda r, p: self._files.handle("download", r, p)),
            "/files/debug": read(self._files_debug),
            "/logging/toggle": self._writing(self._toggle, "POST", "GET"),
            "/state": leading(read(self._state_page)),
            "/state-summary": leading(read(self._summary)),
            "/slaves": leading(read(self._slaves)),
            "/frameworks": leading(read(self._frameworks)),
            "/tasks": leading(read(self._tasks)),
            "/roles": leading(read(self._roles)),
            "/weights": leading(self._by_method(self._weights, _PUT, self._put_weights)),
            "/quota": leading(self._by_method(_constant(b"{}"), _POST_DELETE, _refuse(_QUOTA))),
            "/maintenance/schedule": leading(
                self._by_method(_constant(b"{}"), _POST, _refuse(_MAINTENANCE))
            ),
            "/maintenance/status": leading(read(_constant(b"{}"))),
            "/machine/down": leading(self._writing(_refuse(_MAINTENANCE), "POST")),
            "/machine/up": leading(self._writing(_refuse(_MAINTENANCE), "POST")),
            "/teardown": leading(self._writing(self._teardown, "POST")),
            "/kill-task": leading(self._writing(self._kill_task, "POST")),
            "/reserve": leading(self._writing(_refuse(_RESERVE), "POST")),
            "/unreserve": leading(self._writing(_refuse(_RESERVE), "POST")),
            "/create-volumes": leading(self._writing(_refuse(_RESERVE), "POST")),
            "/destroy-volumes": leading(self._writing(_refuse(_RESERVE), "POST")),
        }

    # Steps before a page

    def leading_page(self, page: Page) -> Callable[[Request], Answer]:
        """A page that only the leader shows, and only to a principal, to be read."""
        return self._leading(self._reading(page))

    def _leading(self, handler: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        def serve(request: Request) -> Answer:
            return self._gate.not_serving(request) or handler(request)

        return serve

    def _reading(self, page: Page) -> Callable[[Request], Answer]:
        def serve(request: Request) -> Answer:
            if request.method != "GET":
                return method_not_allowed(request, "GET")
            principal = self._gate.principal(request, self._readonly)
            return principal if isinstance(principal, Response) else page(request, principal)

        return serve

    def _writing(self, page: Page, *methods: str) -> Callable[[Request], Answer]:
        def serve(request: Request) -> Answer:
            if request.method not in methods:
                return method_not_allowed(request, *methods)
            principal = self._gate.principal(request, self._readwrite)
            return principal if isinstance(principal, Response) else page(request, principal)

        return serve

    def _by_method(
        self, page: Page, methods: tuple[str, ...], write: Page
    ) -> Callable[[Request], Answer]:
        reading, writing = self._reading(page), self._writing(write, *methods)

        def serve(request: Request) -> Answer:
            if request.method == "GET":
                return reading(request)
            if request.method in methods:
                return writing(request)
            return method_not_allowed(request, "GET", *methods)

        return serve

    def _visible(self, principal: Principal) -> Visible:
        if principal is self._readonly.otherwise:
            return EVERYTHING
        return visible_to(self._gate.authorizer, principal)

    # Pages

    def _readyz(self, request: Request) -> Response:
        leadership = self._gate.leadership
        if leadership.is_us and not self._state.leading:
            return text_response(503, "Master has not finished recovery")
        if leadership.leader is None:
            return text_response(503, "No leader elected")
        return Response(200)

    def _version(self, request: Request) -> Result:
        return as_json(request, documents.encode(self._facts.version_document()))

    def _redirect(self, request: Request) -> Response:
        if request.path.rstrip("/") not in ("/redirect", "/master/redirect"):
            return not_found()
        return self._gate.redirect("")

    def _flags(self, request: Request, principal: Principal) -> Result:
        if not self._visible(principal).flags():
            return text_response(403, "Not authorized to view the flags.")
        return as_json(request, documents.encode({"flags": dict(self._facts.flags)}))

    def _snapshot(self, request: Request, principal: Principal) -> Result:
        timeout = _argument(request, "timeout")
        if timeout:
            try:
                parse_duration(timeout)
            except MalformedError as error:
                return text_response(400, f"Invalid timeout: {error}")
        refused = self._endpoint(principal, "/metrics/snapshot")
        return refused or as_json(request, snapshot.document(self._metrics.snapshot()))

    def _prometheus(self, request: Request, principal: Principal) -> Result:
        if request.path.rstrip("/") not in ("/metrics", "/master/metrics"):
            return not_found()
        refused = self._endpoint(principal, "/metrics/snapshot")
        if refused is not None:
            return refused
        body = prometheus.render(self._metrics.snapshot(), self._metrics.is_counter)
        return Response(200, body, prometheus.CONTENT_TYPE)

    def _files_debug(self, request: Request, principal: Principal) -> Result:
        refused = self._endpoint(principal, "/files/debug")
        return refused or self._files.handle("debug", request, principal)

    def _toggle(self, request: Request, principal: Principal) -> Result:
        refused = self._endpoint(principal, "/logging/toggle")
        if refused is not None:
            return refused
        level, duration = _argument(request, "level"), _argument(request, "duration")
        if not level and not duration:
            return text_response(200, "0\n")
        if not level.isdecimal():
            return text_response(400, "Expecting 'level=value' in query, a number from 0 to 3.")
        try:
            seconds = parse_duration(duration)
        except MalformedError as error:
            return text_response(400, f"Expecting 'duration=value' in query: {error}")
        return self._operator.set_logging_level(int(level), seconds, principal)

    def _state_page(self, request: Request, principal: Principal) -> Result:
        pieces = self._pages.state(self._visible(principal), self._gate.leadership.leader)
        return streamed(request, pieces)

    def _summary(self, request: Request, principal: Principal) -> Result | Deferred[Result]:
        counts = TaskCounts(self._state)

        def answer(_: None) -> Result:
            return streamed(request, self._pages.state_summary(self._visible(principal), counts))

        counting = self._turns.take(counts.steps())
        return answer(None) if counting is None else counting.addCallback(answer)

    def _slaves(self, request: Request, principal: Principal) -> Result:
        wanted = _argument(request, "slave_id") or None
        return streamed(request, self._pages.slaves(self._visible(principal), wanted))

    def _frameworks(self, request: Request, principal: Principal) -> Result:
        wanted = _argument(request, "framework_id") or None
        return streamed(request, self._pages.frameworks(self._visible(principal), wanted))

    def _tasks(self, request: Request, principal: Principal) -> Result:
        return streamed(
            request,
            self._pages.tasks_page(
                self._visible(principal),
                limit=_count(request, "limit", TASK_LIMIT),
                offset=_count(request, "offset", 0),
                ascending=_argument(request, "order") == "asc",
                framework_id=_argument(request, "framework_id") or None,
                task_id=_argument(request, "task_id") or None,
            ),
        )

    def _roles(self, request: Request, principal: Principal) -> Result:
        return as_json(request, roles.page(self._state, self._visible(principal)))

    def _weights(self, request: Request, principal: Principal) -> Result:
        return as_json(request, weights.page(self._state, self._visible(principal)))

    def _put_weights(self, request: Request, principal: Principal) -> Answer:
        try:
            infos = msgspec.json.decode(request.body, type=list[weights.Weight])
        except (msgspec.MsgspecError, RecursionError) as error:
            return text_response(
                400,
                "Failed to parse update weights request JSON: "
                f'write [{{"role": "a", "weight": 2.0}}] ({error})',
            )
        return self._operator.update_weights(tuple(one.message() for one in infos), principal)

    def _teardown(self, request: Request, principal: Principal) -> Result:
        wanted = request.form().get("frameworkId", [""])[0]
        if not wanted:
            return text_response(400, "Missing 'frameworkId' query parameter in the request body")
        return self._operator.teardown(wanted, principal)

    def _kill_task(self, request: Request, principal: Principal) -> Result:
        form = request.form()
        framework_id, task_id = (form.get(name, [""])[0] for name in ("frameworkId", "taskId"))
        if not framework_id or not task_id:
            return text_response(400, "Write 'frameworkId' and 'taskId' in the request body.")
        return self._operator.kill_task(framework_id, task_id, principal)

    def _endpoint(self, principal: Principal, path: str) -> Response | None:
        if principal is self._readonly.otherwise or principal is self._readwrite.otherwise:
            return None
        obj = ObjectRef(path=path)
        verdict = self._gate.authorizer.judge(principal, Action.GET_ENDPOINT, obj)
        return None if verdict.allowed else text_response(403, verdict.reason)


_PUT: Final = ("PUT",)
_POST: Final = ("POST",)
_POST_DELETE: Final = ("POST", "DELETE")


def not_found() -> Response:
    """404 in Mesos's words."""
    return text_response(404, "404 Not Found.")


def _empty(request: Request) -> Response:
    return Response(200) if request.method == "GET" else method_not_allowed(request, "GET")


def _constant(body: bytes) -> Page:
    return lambda request, principal: as_json(request, body)


def _refuse(sentence: str) -> Page:
    return lambda request, principal: text_response(501, sentence)


def _argument(request: Request, name: str) -> str:
    return request.args().get(name, [""])[0] if request.query else ""


def _count(request: Request, name: str, default: int) -> int:
    text = _argument(request, name)
    return int(text) if text.isdecimal() and len(text) < 10 else default


def _callback(request: Request) -> str | Response:
    name = _argument(request, "jsonp")
    if name and _CALLBACK.fullmatch(name) is None:
        return text_response(400, "The jsonp parameter must be the name of a function.")
    return name


def as_json(request: Request, body: bytes) -> Response:
    """A JSON answer, or one wrapped in the function that `jsonp=` names."""
    callback = _callback(request)
    if isinstance(callback, Response):
        return callback
    if not callback:
        return Response(200, body, JSON)
    return Response(200, callback.encode() + b"(" + body + b")", "text/javascript", _NOSNIFF)


def streamed(request: Request, pieces: Iterable[bytes]) -> Result:
    """Like `as_json`, of a body in pieces."""
    callback = _callback(request)
    if isinstance(callback, Response):
        return callback
    if not callback:
        return ChunkedBody(200, pieces, JSON, (), True)
    wrapped = _wrapped(callback.encode(), pieces)
    return ChunkedBody(200, wrapped, "text/javascript", _NOSNIFF, True)


def _wrapped(callback: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield callback + b"("
    yield from pieces
    yield b")"
