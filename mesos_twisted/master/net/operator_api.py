"""POST /api/v1 (and every longer path): the operator API's calls.

Reading calls answer what the principal may see; SUBSCRIBE opens a stream; changing calls go to the
core as events once authorized. Calls of capabilities that are not built answer 501 and say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from mesos_twisted.clock import Timers
from mesos_twisted.errors import Problem
from mesos_twisted.files import listing
from mesos_twisted.files.store import FileStore
from mesos_twisted.logs import Logging
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core import gone
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.master.net.agent_calls import AgentCalls
from mesos_twisted.master.net.bodies import decode_body
from mesos_twisted.master.net.gate import Gate, Realm, method_not_allowed
from mesos_twisted.master.net.subscriptions import Subscriptions, stream_start
from mesos_twisted.master.views import roles, weights
from mesos_twisted.master.views.facts import Facts
from mesos_twisted.master.views.groups import response_pieces
from mesos_twisted.master.views.operator import CODECS, Gathering, OperatorViews, Steps
from mesos_twisted.master.views.visible import EVERYTHING, Visible, visible_to
from mesos_twisted.metrics import snapshot
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.protocol import media
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, FrameworkId, TaskId
from mesos_twisted.protocol.media import Media
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.resources.roles import check_role
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import METRICS, NOTHING, ObjectRef
from mesos_twisted.security.core.principal import Principal
from mesos_twisted.transport.messages import (
    ChunkedBody,
    Request,
    Response,
    StreamResponse,
    text_response,
)
from mesos_twisted.turns import Turns

Type = m.MasterCallType
Answered = m.MasterResponseType
Result = Response | StreamResponse | ChunkedBody
Build = Callable[[OperatorViews, Visible, Media], Steps]

#: Sub-message that a call of this type must bring.
_NEEDS: Final = {
    Type.GET_METRICS: "get_metrics",
    Type.SET_LOGGING_LEVEL: "set_logging_level",
    Type.LIST_FILES: "list_files",
    Type.READ_FILE: "read_file",
    Type.UPDATE_WEIGHTS: "update_weights",
    Type.TEARDOWN: "teardown",
    Type.MARK_AGENT_GONE: "mark_agent_gone",
    Type.DRAIN_AGENT: "drain_agent",
    Type.DEACTIVATE_AGENT: "deactivate_agent",
    Type.REACTIVATE_AGENT: "reactivate_agent",
}
_GROUPS: Final[dict[Type, tuple[str, Build]]] = {
    Type.GET_STATE: ("get_state", OperatorViews.state),
    Type.GET_TASKS: ("get_tasks", OperatorViews.tasks),
    Type.GET_EXECUTORS: ("get_executors", OperatorViews.executors),
    Type.GET_FRAMEWORKS: ("get_frameworks", OperatorViews.frameworks),
    Type.GET_AGENTS: ("get_agents", OperatorViews.agents),
}


class OperatorApi:
    """The endpoint."""

    def __init__(
        self,
        state: MasterState,
        gate: Gate,
        realm: Realm,
        views: OperatorViews,
        subscriptions: Subscriptions,
        metrics: Metrics,
        facts: Facts,
        files: FileStore,
        logging: Logging,
        handle: Callable[[ev.Event], None],
        settled: Callable[[], Deferred[None]],
        now: Callable[[], float],
        timers: Timers,
        turns: Turns,
    ) -> None:
        self._state = state
        self._gate = gate
        self._realm = realm
        self._views = views
        self._subscriptions = subscriptions
        self._metrics = metrics
        self._facts = facts
        self._files = files
        self._logging = logging
        self._handle = handle
        self._settled = settled
        self._now = now
        self._timers = timers
        self._turns = turns
        self._agent_calls = AgentCalls(state, self._refused, handle, settled, now)

    def handle(self, request: Request) -> Result | Deferred[Result]:
        """The answer to one request."""
        refusal = self._gate.not_serving(request)
        if refusal is not None:
            return refusal
        if request.method != "POST":
            return method_not_allowed(request, "POST")
        principal = self._gate.principal(request, self._realm)
        if isinstance(principal, Response):
            return principal
        call = decode_body(m.MasterCall, request)
        if isinstance(call, Response):
            return call
        if call.type is None:
            return _invalid("Expecting 'type' to be present")
        needed = _NEEDS.get(call.type)
        if needed is not None and getattr(call, needed) is None:
            return _invalid(f"Expecting '{needed}' to be present")
        chosen = media.response_media(request.headers)
        if chosen is None:
            return text_response(
                406,
                "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
            )
        return self._dispatch(call, call.type, principal, chosen)

    def _dispatch(
        self, call: m.MasterCall, kind: Type, principal: Principal, chosen: Media
    ) -> Result | Deferred[Result]:
        visible = self._visible(principal)
        group = _GROUPS.get(kind)
        if group is not None:
            return self._grouped(kind, group, visible, chosen)
        if kind is Type.SUBSCRIBE:
            start = stream_start(self._subscriptions, chosen, visible)
            return StreamResponse(200, chosen.value, (), start)
        if kind is Type.GET_OPERATIONS:
            return _answer(
                m.MasterResponse(
                    type=Answered.GET_OPERATIONS, get_operations=m.MasterResponseGetOperations()
                ),
                chosen,
            )
        response = self._read(call, kind, visible, principal)
        if response is None:
            return self._change(call, kind, principal)
        return response if isinstance(response, Response) else _answer(response, chosen)

    def _grouped(
        self, kind: Type, group: tuple[str, Build], visible: Visible, chosen: Media
    ) -> Result | Deferred[Result]:
        name, build = group

        gathering = Gathering(build(self._views, visible, chosen))

        def answer(_: None) -> Result:
            pieces = response_pieces(Answered(kind.value), name, gathering.group, chosen)
            return ChunkedBody(200, pieces, chosen.value, (), True)

        gathered = self._turns.take(iter(gathering))
        return answer(None) if gathered is None else gathered.addCallback(answer)

    def _visible(self, principal: Principal) -> Visible:
        if principal is self._realm.otherwise:
            return EVERYTHING
        return visible_to(self._gate.authorizer, principal)

    def _read(
        self, call: m.MasterCall, kind: Type, visible: Visible, principal: Principal
    ) -> m.MasterResponse | Response | None:
        state = self._state
        answered = Answered(kind.value) if kind.value in Answered._value2member_map_ else None
        match kind:
            case Type.GET_HEALTH:
                health = m.MasterResponseGetHealth(healthy=True)
                return m.MasterResponse(type=answered, get_health=health)
            case Type.GET_VERSION:
                version = m.MasterResponseGetVersion(version_info=self._facts.version_info())
                return m.MasterResponse(type=answered, get_version=version)
            case Type.GET_FLAGS:
                if not visible.flags():
                    return text_response(403, "Not authorized to view the flags.")
                flags = m.MasterResponseGetFlags(flags=self._facts.flag_messages())
                return m.MasterResponse(type=answered, get_flags=flags)
            case Type.GET_METRICS:
                # Mesos judges the page alone; one rule for both keeps the page's refusal true.
                refused = self._refused(principal, Action.GET_ENDPOINT, METRICS)
                if refused is not None:
                    return refused
                found = snapshot.messages(self._metrics.snapshot())
                metrics = m.MasterResponseGetMetrics(metrics=found)
                return m.MasterResponse(type=answered, get_metrics=metrics)
            case Type.GET_LOGGING_LEVEL:
                level = 1 if self._logging.level == "DEBUG" else 0
                logging = m.MasterResponseGetLoggingLevel(level=level)
                return m.MasterResponse(type=answered, get_logging_level=logging)
            case Type.GET_ROLES:
                known = m.MasterResponseGetRoles(roles=roles.messages(state, visible))
                return m.MasterResponse(type=answered, get_roles=known)
            case Type.GET_WEIGHTS:
                infos = weights.messages(state, visible)
                # Mesos leaves the sub-message out when no weight was ever set.
                weighed = m.MasterResponseGetWeights(weight_infos=infos) if infos else None
                return m.MasterResponse(type=answered, get_weights=weighed)
            case Type.GET_MASTER:
                master = m.MasterResponseGetMaster(
                    master_info=state.info,
                    start_time=state.started_at,
                    elected_time=state.elected_at,
                )
                return m.MasterResponse(type=answered, get_master=master)
            case Type.GET_QUOTA:
                quota = m.MasterResponseGetQuota(status=m.QuotaStatus())
                return m.MasterResponse(type=answered, get_quota=quota)
            case Type.GET_MAINTENANCE_STATUS:
                status = m.MasterResponseGetMaintenanceStatus(status=m.MaintenanceClusterStatus())
                return m.MasterResponse(type=answered, get_maintenance_status=status)
            case Type.GET_MAINTENANCE_SCHEDULE:
                schedule = m.MasterResponseGetMaintenanceSchedule(schedule=m.MaintenanceSchedule())
                return m.MasterResponse(type=answered, get_maintenance_schedule=schedule)
            case Type.LIST_FILES | Type.READ_FILE:
                return self._file(call, principal)
            case _:
                return None

    def _file(self, call: m.MasterCall, principal: Principal) -> m.MasterResponse | Response:
        if call.read_file is not None:
            asked = call.read_file
            read = self._files.read(asked.path, asked.offset, asked.length, principal)
            if isinstance(read, Problem):
                return _file_problem(read)
            return m.MasterResponse(
                type=Answered.READ_FILE,
                read_file=m.MasterResponseReadFile(size=read[0], data=read[1]),
            )
        assert call.list_files is not None
        entries = self._files.browse(call.list_files.path, principal)
        if isinstance(entries, Problem):
            return _file_problem(entries)
        infos = tuple(listing.to_message(entry) for entry in entries)
        return m.MasterResponse(
            type=Answered.LIST_FILES, list_files=m.MasterResponseListFiles(file_infos=infos)
        )

    def _change(
        self, call: m.MasterCall, kind: Type, principal: Principal
    ) -> Result | Deferred[Result]:
        if kind is Type.TEARDOWN and call.teardown is not None:
            return self.teardown(call.teardown.framework_id.value, principal)
        if kind is Type.MARK_AGENT_GONE and call.mark_agent_gone is not None:
            return self.mark_agent_gone(call.mark_agent_gone.agent_id.value, principal)
        if kind is Type.DRAIN_AGENT and call.drain_agent is not None:
            return self._agent_calls.drain(call.drain_agent, principal)
        if kind is Type.DEACTIVATE_AGENT and call.deactivate_agent is not None:
            return self._agent_calls.deactivate(
                AgentId(call.deactivate_agent.agent_id.value), principal
            )
        if kind is Type.REACTIVATE_AGENT and call.reactivate_agent is not None:
            return self._agent_calls.reactivate(
                AgentId(call.reactivate_agent.agent_id.value), principal
            )
        if kind is Type.UPDATE_WEIGHTS and call.update_weights is not None:
            return self.update_weights(call.update_weights.weight_infos, principal)
        if kind is Type.SET_LOGGING_LEVEL and call.set_logging_level is not None:
            asked = call.set_logging_level
            seconds = asked.duration.nanoseconds / 1e9
            return self.set_logging_level(asked.level, seconds, principal)
        return text_response(
            501, f"The call {kind.value} is not built into this master; see its documentation."
        )

    def teardown(self, framework_id: str, principal: Principal) -> Response:
        """End a framework: 200, 400 when there is none, 403 when the principal may not."""
        framework = self._state.frameworks.get(FrameworkId(framework_id))
        if framework is None:
            return text_response(400, "No framework found with specified ID")
        obj = ObjectRef(
            principal=framework.info.principal, user=framework.info.user, roles=framework.roles
        )
        refused = self._refused(principal, Action.TEARDOWN_FRAMEWORK, obj)
        if refused is not None:
            return refused
        self._handle(ev.TeardownAsked(framework.framework_id, self._now()))
        return Response(200)

    def kill_task(self, framework_id: str, task_id: str, principal: Principal) -> Response:
        """End one task: 202; 404 when it is not known, 403 when the principal may not, 409 when
        it has ended or is on an agent that cannot be reached."""
        framework = self._state.frameworks.get(FrameworkId(framework_id))
        if framework is None:
            return text_response(404, "No framework of that id is registered here.")
        obj = ObjectRef(
            principal=framework.info.principal, user=framework.info.user, roles=framework.roles
        )
        refused = self._refused(principal, Action.KILL_TASK, obj)
        if refused is not None:
            return refused
        task = framework.tasks.get(TaskId(task_id))
        if task is None and TaskId(task_id) in framework.unreachable:
            return text_response(409, "The task's agent cannot be reached; try when it is back.")
        if task is None:
            return text_response(404, "The framework has no live task of that id.")
        if task.state in TERMINAL:
            return text_response(409, f"The task has ended already: {task.state.value}")
        self._handle(
            ev.TaskKillAsked(framework.framework_id, task.task_id, str(principal), self._now())
        )
        return Response(202)

    def set_logging_level(self, level: int, seconds: float, principal: Principal) -> Response:
        """Log more for a while: level 0 is what the flags say, higher ones are debugging."""
        if not 0 <= level <= 3:
            return text_response(400, f"Invalid logging level {level}; write 0 to 3.")
        if not seconds > 0:
            return text_response(400, "The duration must be positive.")
        refused = self._refused(principal, Action.SET_LOG_LEVEL, NOTHING)
        if refused is not None:
            return refused
        before = self._facts.flags.get("logging_level", "INFO")
        self._logging.set_level("DEBUG" if level else before)
        self._timers.after(seconds, self._logging.set_level, before)
        return Response(200)

    def update_weights(
        self, infos: tuple[m.WeightInfo, ...], principal: Principal
    ) -> Result | Deferred[Result]:
        """Set role weights, all or none: 200 once they hold, 400 or 403."""
        wanted: dict[str, float] = {}
        for info in infos:
            role = (info.role or "").strip()
            problem = check_role(role)
            if problem is not None:
                return text_response(
                    400, f"Failed to validate update weights request JSON: {problem}"
                )
            if not 0 < info.weight < float("inf"):
                return text_response(
                    400,
                    "Failed to validate update weights request JSON: "
                    f"Invalid weight '{info.weight:g}': Weights must be positive",
                )
            refused = self._refused(principal, Action.UPDATE_WEIGHT, ObjectRef(roles=(role,)))
            if refused is not None:
                return refused
            wanted[role] = info.weight
        if not wanted:
            return Response(200)
        self._handle(ev.WeightsUpdated(wanted, self._now()))
        return self._once_settled()

    def mark_agent_gone(self, agent_id: str, principal: Principal) -> Result | Deferred[Result]:
        """End an agent for good: 200 once the registry says so (or said so before), 403 when the
        principal may not, 404 for an unknown one, 503 while something else happens to it."""
        refused = self._refused(principal, Action.MARK_AGENT_GONE, NOTHING)
        if refused is not None:
            return refused
        known = AgentId(agent_id)
        if known in self._state.gone:
            return Response(200)
        problem = gone.check(self._state, known)
        if problem is not None:
            return text_response(int(problem.code), problem.sentence)
        self._handle(ev.AgentGoneAsked(known, str(principal), self._now()))
        return self._once_settled()

    def _once_settled(self) -> Result | Deferred[Result]:
        """200 when every change asked for until now holds."""
        settled = self._settled()
        if settled.called:
            return Response(200)
        answer: Deferred[Result] = Deferred()
        settled.addCallback(lambda _: answer.callback(Response(200)))
        return answer

    def _refused(self, principal: Principal, action: Action, obj: ObjectRef) -> Response | None:
        if principal is self._realm.otherwise:
            return None
        verdict = self._gate.authorizer.judge(principal, action, obj)
        return None if verdict.allowed else text_response(403, verdict.reason)


def _invalid(sentence: str) -> Response:
    return text_response(400, f"Failed to validate master::Call: {sentence}")


def _answer(response: m.MasterResponse, chosen: Media) -> Response:
    return Response(200, CODECS[chosen](response), chosen.value)


def _file_problem(problem: Problem) -> Response:
    status = {"not-found": 404, "forbidden": 403}.get(problem.code, 400)
    return text_response(status, problem.sentence)
