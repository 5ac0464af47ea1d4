"""`POST /api/v1`: the agent's operator calls. Reading is done here; what is not built says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesos_twisted.agent.core.state import AgentState
from mesos_twisted.agent.net.call_body import answer_media, encode, read_call
from mesos_twisted.agent.net.usage_cache import UsageCache
from mesos_twisted.agent.views import containers, v1
from mesos_twisted.agent.views.facts import Facts
from mesos_twisted.agent.views.visible import Visible
from mesos_twisted.errors import Problem
from mesos_twisted.files import listing
from mesos_twisted.files.http import to_json
from mesos_twisted.files.store import FileStore
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.metrics.snapshot import messages as metric_messages
from mesos_twisted.protocol.codec_json import to_plain
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.media import Media
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import METRICS, Authorizer
from mesos_twisted.security.core.principal import Principal
from mesos_twisted.transport.messages import Request, Response, text_response

_Call = m.AgentCallType
_Kind = m.AgentResponseType
#: Lists that Mesos writes in JSON also when they are empty.
_LISTS: Mapping[str, tuple[str, ...]] = {
    "get_tasks": (
        "pending_tasks",
        "queued_tasks",
        "launched_tasks",
        "terminated_tasks",
        "completed_tasks",
    ),
    "get_executors": ("executors", "completed_executors"),
    "get_frameworks": ("frameworks", "completed_frameworks"),
}
_STATUS = {"invalid": 400, "not-found": 404, "forbidden": 403}


class OperatorCalls:
    """Answers one call of one principal."""

    def __init__(
        self,
        state: AgentState,
        facts: Facts,
        authorizer: Authorizer,
        files: FileStore,
        metrics: Metrics,
        usage: UsageCache,
        set_level: Callable[[int, float], None],
    ) -> None:
        """`set_level(level, seconds)` makes logging more talkative for a while."""
        self._state = state
        self._facts = facts
        self._authorizer = authorizer
        self._files = files
        self._metrics = metrics
        self._usage = usage
        self._set_level = set_level
        self.logging_level = 0

    async def answer(self, request: Request, principal: Principal) -> Response:
        """The answer to a POST."""
        call = read_call(m.AgentCall, request)
        if isinstance(call, Response):
            return call
        if call.type is None:
            return text_response(
                400, "Failed to validate agent::Call: Expecting 'type' to be present"
            )
        missing = _missing(call)
        if missing is not None:
            return text_response(
                400, f"Failed to validate agent::Call: Expecting '{missing}' to be present"
            )
        media = answer_media(request)
        if isinstance(media, Response):
            return media
        found = await self._found(call, principal)
        if isinstance(found, Response):
            return found
        body = encode(found, media) if media is Media.PROTOBUF else to_json(_filled(found))
        return Response(200, body, media.value)

    async def _found(self, call: m.AgentCall, principal: Principal) -> m.AgentResponse | Response:
        state, kind = self._state, call.type
        visible = Visible(self._authorizer, principal)
        if kind is _Call.GET_HEALTH:
            health = m.AgentResponseGetHealth(healthy=True)
            return m.AgentResponse(type=_Kind.GET_HEALTH, get_health=health)
        if kind is _Call.GET_VERSION:
            return m.AgentResponse(type=_Kind.GET_VERSION, get_version=v1.version(self._facts))
        if kind is _Call.GET_FLAGS:
            if not visible.flags():
                return text_response(403, "The principal may not view flags\n")
            return m.AgentResponse(type=_Kind.GET_FLAGS, get_flags=v1.flags(self._facts.flags))
        if kind is _Call.GET_STATE:
            return m.AgentResponse(type=_Kind.GET_STATE, get_state=v1.state(state, visible))
        if kind is _Call.GET_TASKS:
            return m.AgentResponse(type=_Kind.GET_TASKS, get_tasks=v1.tasks(state, visible))
        if kind is _Call.GET_EXECUTORS:
            found = v1.executors(state, visible)
            return m.AgentResponse(type=_Kind.GET_EXECUTORS, get_executors=found)
        if kind is _Call.GET_FRAMEWORKS:
            frameworks = v1.frameworks(state, visible)
            return m.AgentResponse(type=_Kind.GET_FRAMEWORKS, get_frameworks=frameworks)
        if kind is _Call.GET_AGENT:
            return m.AgentResponse(type=_Kind.GET_AGENT, get_agent=v1.agent(state))
        if kind is _Call.GET_METRICS:
            # Mesos judges the page alone; one rule for both keeps the page's refusal true.
            verdict = self._authorizer.judge(principal, Action.GET_ENDPOINT, METRICS)
            if not verdict.allowed:
                return text_response(403, verdict.reason + "\n")
            metrics = m.AgentResponseGetMetrics(metrics=metric_messages(self._metrics.snapshot()))
            return m.AgentResponse(type=_Kind.GET_METRICS, get_metrics=metrics)
        if kind is _Call.GET_CONTAINERS:
            return await self._containers(call, visible)
        return self._rest(call, principal)

    def _rest(self, call: m.AgentCall, principal: Principal) -> m.AgentResponse | Response:
        kind = call.type
        if kind is _Call.GET_OPERATIONS:
            operations = m.AgentResponseGetOperations()
            return m.AgentResponse(type=_Kind.GET_OPERATIONS, get_operations=operations)
        if kind is _Call.GET_RESOURCE_PROVIDERS:
            return m.AgentResponse(
                type=_Kind.GET_RESOURCE_PROVIDERS,
                get_resource_providers=m.AgentResponseGetResourceProviders(),
            )
        if kind is _Call.GET_LOGGING_LEVEL:
            level = m.AgentResponseGetLoggingLevel(level=self.logging_level)
            return m.AgentResponse(type=_Kind.GET_LOGGING_LEVEL, get_logging_level=level)
        if kind is _Call.SET_LOGGING_LEVEL and call.set_logging_level is not None:
            verdict = self._authorizer.judge(principal, Action.SET_LOG_LEVEL)
            if not verdict.allowed:
                return text_response(403, verdict.reason + "\n")
            wanted = call.set_logging_level
            if wanted.level > 3:
                return text_response(400, "The logging level must be 0, 1, 2 or 3\n")
            self._set_level(wanted.level, wanted.duration.nanoseconds / 1e9)
            return Response(202)
        if kind is _Call.LIST_FILES and call.list_files is not None:
            entries = self._files.browse(call.list_files.path, principal)
            if isinstance(entries, Problem):
                return text_response(_STATUS[entries.code], entries.sentence)
            listed = m.AgentResponseListFiles(
                file_infos=tuple(listing.to_message(entry) for entry in entries)
            )
            return m.AgentResponse(type=_Kind.LIST_FILES, list_files=listed)
        if kind is _Call.READ_FILE and call.read_file is not None:
            wanted_file = call.read_file
            read = self._files.read(
                wanted_file.path, wanted_file.offset, wanted_file.length, principal
            )
            if isinstance(read, Problem):
                return text_response(_STATUS[read.code], read.sentence)
            content = m.AgentResponseReadFile(size=read[0], data=read[1])
            return m.AgentResponse(type=_Kind.READ_FILE, read_file=content)
        name = "UNKNOWN" if kind is None else kind.value
        return text_response(501, f"This agent does not support the call {name}\n")

    async def _containers(self, call: m.AgentCall, visible: Visible) -> m.AgentResponse:
        wanted = call.get_containers
        nested = wanted is not None and bool(wanted.show_nested)
        rows = list(containers.shown(self._state, visible, nested))
        usage = await self._usage.of([one.container.id for one in rows])
        found = m.AgentResponseGetContainers(
            containers=tuple(containers.to_v1(one, usage) for one in rows)
        )
        return m.AgentResponse(type=_Kind.GET_CONTAINERS, get_containers=found)


_NEEDS = {
    _Call.GET_METRICS: "get_metrics",
    _Call.SET_LOGGING_LEVEL: "set_logging_level",
    _Call.LIST_FILES: "list_files",
    _Call.READ_FILE: "read_file",
}


def _missing(call: m.AgentCall) -> str | None:
    name = _NEEDS.get(call.type) if call.type is not None else None
    return name if name is not None and getattr(call, name) is None else None


def _filled(message: m.AgentResponse) -> dict[str, Any]:
    plain = to_plain(message)
    state = plain.get("get_state")
    for holder in (plain, state) if isinstance(state, dict) else (plain,):
        for name, lists in _LISTS.items():
            inner = holder.get(name)
            if inner is None and holder is state:
                inner = holder[name] = {}
            if isinstance(inner, dict):
                holder[name] = {one: inner.get(one, []) for one in lists}
    return plain
