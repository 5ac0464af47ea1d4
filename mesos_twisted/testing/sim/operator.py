"""An operator of a simulated cluster: changes, ends and looks, through the operator API.

It asks whoever leads, one thing after the other, and remembers what it was answered: `orders` is
every change that it asked for, for the auditor. Reads may be answered by anybody who leads.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m

PATH: Final = "/api/v1"
KILL_PATH: Final = "/kill-task"
_JSON: Final = (("Content-Type", "application/json"), ("Accept", "application/json"))
_FORM: Final = (("Content-Type", "application/x-www-form-urlencoded"),)
_Type = m.MasterCallType
_READS: Final = (
    _Type.GET_STATE,
    _Type.GET_AGENTS,
    _Type.GET_FRAMEWORKS,
    _Type.GET_TASKS,
    _Type.GET_ROLES,
    _Type.GET_WEIGHTS,
    _Type.GET_METRICS,
)
#: So many agents of a world may be given up by its operator.
_GIVEN_UP: Final = 1


class Asked(Protocol):
    """The leading master: `transport.leader.LeaderClient`."""

    def request(
        self, method: str, path: str, headers: Any = ..., body: bytes = ..., timeout_s: float = ...
    ) -> Deferred[Any]:
        """Fires with an answer that has a status and a body."""


@dataclass(slots=True, eq=False)
class Order:
    """One request. `status` is None until it is answered, and stays so when nobody does."""

    at: float
    what: str
    whom: str = ""
    weight: float = 0.0
    status: int | None = None
    #: When the answer came, if one did.
    answered_at: float | None = None
    #: Is something else asked for once this is answered?
    goes_on: bool = True


class SimOperator:
    """One operator, who may live several lives; `now` is the world's time."""

    def __init__(self, random: Random, now: Callable[[], float], every_s: float) -> None:
        self.orders: list[Order] = []
        #: Hears of each answer.
        self.heard: Callable[[Order], object] | None = None
        self._random, self._now, self._every_s = random, now, every_s
        self._master: Asked | None = None
        self._timers: Timers | None = None
        self._agents: list[str] = []
        self._frameworks: list[str] = []
        self._tasks: list[tuple[str, str]] = []
        self._quiet = False

    def start(self, reactor: Any, master: Asked) -> None:
        """A life begins."""
        self._master, self._timers = master, Timers(reactor)
        self._later()

    def die(self) -> None:
        """The process was killed."""
        self._master, self._timers = None, None

    def quieten(self) -> None:
        """Nothing more is asked."""
        self._quiet = True

    def weigh(self) -> None:
        """It changes a weight now, beside what it does anyway."""
        if self._master is not None and not self._quiet:
            self._weigh(self._random.choice(("ops", "web", "*")), False)

    def _later(self) -> None:
        if self._timers is not None:
            self._timers.after((0.2 + self._random.random()) * self._every_s, self._act)

    def _act(self) -> None:
        if self._quiet:
            return
        roll = self._random.random()
        if roll < 0.35:
            self._read(self._random.choice(_READS))
        elif roll < 0.75:
            self._weigh(self._random.choice(("ops", "web", "*")))
        elif roll < 0.92:
            self._kill()
        elif roll < 0.96 and self._frameworks:
            self._tear_down(self._random.choice(self._frameworks))
        elif self._agents and self._count("gone") < _GIVEN_UP:
            self._give_up(self._random.choice(self._agents))
        else:
            self._read(_Type.GET_AGENTS)

    def _count(self, what: str) -> int:
        return sum(order.what == what for order in self.orders)

    def _read(self, kind: m.MasterCallType) -> None:
        self._ask(Order(self._now(), "read", kind.value), m.MasterCall(type=kind))

    def _weigh(self, role: str, goes_on: bool = True) -> None:
        weight = self._random.choice((0.5, 1.0, 2.0, 3.5)) + len(self.orders)
        info = m.WeightInfo(weight=weight, role=role)
        call = m.MasterCall(
            type=_Type.UPDATE_WEIGHTS,
            update_weights=m.MasterCallUpdateWeights(weight_infos=(info,)),
        )
        self._ask(Order(self._now(), "weights", role, weight, goes_on=goes_on), call)

    def _tear_down(self, framework_id: str) -> None:
        teardown = m.MasterCallTeardown(framework_id=m.FrameworkID(value=framework_id))
        call = m.MasterCall(type=_Type.TEARDOWN, teardown=teardown)
        self._frameworks.clear()
        self._ask(Order(self._now(), "teardown", framework_id), call)

    def _give_up(self, agent_id: str) -> None:
        gone = m.MasterCallMarkAgentGone(agent_id=m.AgentID(value=agent_id))
        call = m.MasterCall(type=_Type.MARK_AGENT_GONE, mark_agent_gone=gone)
        self._agents.clear()
        self._ask(Order(self._now(), "gone", agent_id), call)

    def _kill(self) -> None:
        if not self._tasks:
            self._read(_Type.GET_TASKS)
            return
        framework_id, task_id = self._random.choice(self._tasks)
        self._tasks.clear()
        names = {"frameworkId": framework_id, "taskId": task_id}
        body = urllib.parse.urlencode(names).encode()
        self._post(Order(self._now(), "kill", task_id), KILL_PATH, _FORM, body)

    def _ask(self, order: Order, call: m.MasterCall) -> None:
        self._post(order, PATH, _JSON, codec_json.encode(call))

    def _post(self, order: Order, path: str, headers: Any, body: bytes) -> None:
        assert self._master is not None
        self.orders.append(order)
        answer = self._master.request("POST", path, headers, body, 10.0)
        answer.addCallbacks(self._answered, self._unanswered, (order,), {}, (order,), {})

    def _answered(self, answer: Any, order: Order) -> None:
        order.status, order.answered_at = answer.status, self._now()
        if answer.status == 200 and order.what == "read":
            self._learn(answer.body)
        if self.heard is not None:
            self.heard(order)
        self._done(order)

    def _unanswered(self, failure: Failure, order: Order) -> None:
        failure.trap(UnavailableError)
        self._done(order)

    def _done(self, order: Order) -> None:
        if order.goes_on:
            self._later()

    def _learn(self, body: bytes) -> None:
        said = codec_json.decode(m.MasterResponse, body)
        state = said.get_state
        agents = said.get_agents or (None if state is None else state.get_agents)
        frameworks = said.get_frameworks or (None if state is None else state.get_frameworks)
        if agents is not None:
            known = [one.agent_info.id for one in agents.agents]
            self._agents = [one.value for one in known if one is not None]
        if frameworks is not None:
            ids = [one.framework_info.id for one in frameworks.frameworks]
            self._frameworks = [one.value for one in ids if one is not None]
        tasks = said.get_tasks or (None if state is None else state.get_tasks)
        if tasks is not None:
            self._tasks = [(one.framework_id.value, one.task_id.value) for one in tasks.tasks]
