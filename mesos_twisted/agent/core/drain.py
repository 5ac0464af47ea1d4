"""An agent that is drained: everything on it ends, and nothing begins until nothing is left.

    Drain(config)   -> on disk; every task is killed, with a grace of no more than config says
    a restart       -> the same again, from the disk
    nothing is left -> the agent has forgotten it: the master keeps away what would come
    Drain()         -> the same at once: the agent is in use again

An agent with nothing on it has nothing to remember. Source: Slave::drain and updateDrainStatus in
Mesos's slave.cpp.
"""

from __future__ import annotations

from mesos_twisted.agent.core import frameworks, paths, rows
from mesos_twisted.agent.core.effects import Effect, Forget, Log
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import AgentState, ExecutorKind, Task
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m


def told(state: AgentState, out: list[Effect], message: agentlink.Drain, now: float) -> None:
    """Everything is ending, also after a restart; or, without a config, the agent serves again."""
    config = message.config
    if config is None:
        if state.drain is not None:
            _forget(state, out)
            out.append(Log("info", "This agent is in use again: it is not drained any more"))
        return
    if not state.frameworks or state.agent_id is None:
        return
    if state.drain != config:
        state.drain, state.drain_began = config, now
        out.append(rows.drain(state.agent_id, config, now))
        out.append(Log("info", "This agent is drained: every task on it is being ended"))
    go_on(state, out, now)


def go_on(state: AgentState, out: list[Effect], now: float) -> None:
    """Of an agent that is drained, every task is ending."""
    if state.drain is None:
        return
    for framework in list(state.frameworks.values()):
        for executor in list(framework.executors.values()):
            for task in list(executor.live):
                scene = Scene(state, out, framework, executor, now)
                if not task.ended and not framework.terminating and scene.stands:
                    policy = _policy(state, state.drain, executor.kind, task)
                    frameworks.kill(scene, task, policy)


def over(state: AgentState, out: list[Effect]) -> None:
    """Nothing is left: what may come is welcome."""
    _forget(state, out)
    out.append(Log("info", "This agent is drained: nothing is left on it"))


def _forget(state: AgentState, out: list[Effect]) -> None:
    state.drain = None
    out.append(Forget(paths.DRAIN_KEY))


def _policy(
    state: AgentState, config: m.DrainConfig, kind: ExecutorKind, task: Task
) -> m.KillPolicy | None:
    """What overrides the task's own grace: the most that the operator allows, where it is shorter.

    What a custom executor does without a policy is not known here, so it gets one.
    """
    most = config.max_grace_period
    if most is None:
        return None
    own = task.info.kill_policy
    if own is not None and own.grace_period is not None:
        shorter = most.nanoseconds < own.grace_period.nanoseconds
    else:
        default_ns = state.policy.default_kill_grace_s * 1e9
        shorter = kind is ExecutorKind.CUSTOM or most.nanoseconds < default_ns
    return m.KillPolicy(grace_period=most) if shorter else None
