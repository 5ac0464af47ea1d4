"""Calls by which an operator takes one agent out of use and into it again.

DRAIN_AGENT, DEACTIVATE_AGENT and REACTIVATE_AGENT are answered 200 once the registry holds what was
asked for; what then becomes of the agent's tasks is read in GET_AGENTS. Source: Mesos's http.cpp,
whose refusals these are; unlike there, whoever may not ask learns nothing of the agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.defer import Deferred

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import drain
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import NOTHING, ObjectRef
from mesos_twisted.security.core.principal import Principal
from mesos_twisted.transport.messages import (
    ChunkedBody,
    Response,
    StreamResponse,
    text_response,
)

Answer: TypeAlias = Response | Deferred[Response | StreamResponse | ChunkedBody]
#: The longest grace that a message can say, in nanoseconds.
MOST_NS = (1 << 63) - 1


class AgentCalls:
    """`refused` judges a principal's action; `settled` fires when all that was asked of the
    registry holds."""

    def __init__(
        self,
        state: MasterState,
        refused: Callable[[Principal, Action, ObjectRef], Response | None],
        handle: Callable[[ev.Event], None],
        settled: Callable[[], Deferred[None]],
        now: Callable[[], float],
    ) -> None:
        self._state = state
        self._refused = refused
        self._handle = handle
        self._settled = settled
        self._now = now

    def drain(self, call: m.MasterCallDrainAgent, principal: Principal) -> Answer:
        """Begin to drain an agent, or drain it in another way: 200; 400 for an unknown agent or one
        that cannot, 403, 409 for one that is being marked gone."""
        wanted = [Action.DRAIN_AGENT]
        if call.mark_gone:
            wanted.append(Action.MARK_AGENT_GONE)
        for action in wanted:
            refused = self._refused(principal, action, NOTHING)
            if refused is not None:
                return refused
        config = _config(call)
        if isinstance(config, Problem):
            return _refusal(config)
        agent_id = AgentId(call.agent_id.value)
        problem = drain.check(self._state, agent_id)
        if problem is not None:
            return _refusal(problem)
        self._handle(ev.AgentDrainAsked(agent_id, config, str(principal), self._now()))
        return self._once_settled(lambda: Response(200))

    def deactivate(self, agent_id: AgentId, principal: Principal) -> Answer:
        """Make no offers of an agent: 200, 400 for an unknown one, 403, 409 as above."""
        refused = self._refused(principal, Action.DEACTIVATE_AGENT, NOTHING)
        if refused is not None:
            return refused
        problem = drain.check_known(self._state, agent_id)
        if problem is not None:
            return _refusal(problem)
        self._handle(ev.AgentDeactivationAsked(agent_id, str(principal), self._now()))
        return self._once_settled(lambda: Response(200))

    def reactivate(self, agent_id: AgentId, principal: Principal) -> Answer:
        """Make offers of a deactivated or drained agent again: 200; 400 for one that is neither or
        is being drained, 403. 409 for one that is not registered, though it will get offers."""
        refused = self._refused(principal, Action.REACTIVATE_AGENT, NOTHING)
        if refused is not None:
            return refused
        problem = drain.check_inactive(self._state, agent_id)
        if problem is not None:
            return _refusal(problem)
        self._handle(ev.AgentReactivationAsked(agent_id, str(principal), self._now()))

        def answer() -> Response:
            here = agent_id in self._state.agents
            return Response(200) if here else text_response(409, drain.REMOVED)

        return self._once_settled(answer)

    def _once_settled(self, answer: Callable[[], Response]) -> Answer:
        settled = self._settled()
        if settled.called:
            return answer()
        answered: Deferred[Response | StreamResponse | ChunkedBody] = Deferred()
        settled.addCallback(lambda _: answered.callback(answer()))
        return answered


def _refusal(problem: Problem) -> Response:
    return text_response(int(problem.code), problem.sentence)


def _config(call: m.MasterCallDrainAgent) -> m.DrainConfig | Problem:
    """How to drain: the call's Duration (seconds and nanos) in nanoseconds."""
    most = call.max_grace_period
    if most is None:
        return m.DrainConfig(mark_gone=call.mark_gone)
    nanoseconds = (most.seconds or 0) * 1_000_000_000 + (most.nanos or 0)
    if not 0 <= nanoseconds <= MOST_NS:
        return Problem("400", "The 'max_grace_period' must not be negative, nor 292 years long")
    grace = m.DurationInfo(nanoseconds=nanoseconds)
    return m.DrainConfig(max_grace_period=grace, mark_gone=call.mark_gone)
