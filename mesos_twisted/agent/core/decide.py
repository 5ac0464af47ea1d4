"""The agent's one function: an event in, effects out, the state changed. Dispatch, nothing else."""

from __future__ import annotations

from typing import assert_never

from mesos_twisted.agent.core import (
    checks,
    containers,
    drain,
    ending,
    executors,
    frameworks,
    gc,
    killing,
    recovery,
    registration,
    run,
    updates,
)
from mesos_twisted.agent.core.effects import Effect
from mesos_twisted.agent.core.events import (
    CheckReported,
    ContainerLaunched,
    ContainerLaunchFailed,
    ContainerTerminated,
    DiskMeasured,
    Event,
    ExecutorCalled,
    ExecutorClosed,
    ExecutorSubscribed,
    LinkClosed,
    LinkOpened,
    MasterSaid,
    PathDeleted,
    Recovered,
    SandboxFailed,
    SandboxReady,
    ShutdownAsked,
    TimerFired,
)
from mesos_twisted.agent.core.state import AgentState, Phase
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ContainerId, ExecutorId, FrameworkId, TaskId


def decide(state: AgentState, event: Event) -> list[Effect]:
    """The event has taken effect on `state`; what the edges must do, in order."""
    out: list[Effect] = []
    match event:
        case MasterSaid():
            if event.link == state.link:
                _master_said(state, out, event.message, event.now)
        case ContainerTerminated():
            containers.terminated(state, out, event)
        case SandboxReady():
            containers.sandbox_ready(state, out, event)
        case ContainerLaunched():
            containers.launched(state, out, event)
        case SandboxFailed() | ContainerLaunchFailed():
            containers.failed(state, out, event)
        case TimerFired():
            _timer_fired(state, out, event)
        case CheckReported():
            checks.reported(state, out, event)
        case ExecutorCalled():
            executors.called(state, out, event)
        case ExecutorSubscribed():
            executors.subscribed(state, out, event)
        case ExecutorClosed():
            executors.closed(state, event)
        case LinkOpened():
            registration.link_opened(state, out, event)
        case LinkClosed():
            registration.link_closed(state, out, event)
        case DiskMeasured():
            gc.collect(state, out, event.used_fraction, event.now)
        case PathDeleted():
            gc.deleted(state, out, event)
        case Recovered():
            recovery.recovered(state, out, event)
        case ShutdownAsked():
            why = event.message or "the operator asked for it"
            frameworks.shut_down_agent(state, out, why, event.now, unregister=True)
        case _:
            assert_never(event)
    if state.drain is not None and not state.frameworks:
        drain.over(state, out)
    if state.phase is Phase.TERMINATING:
        ending.settle_agent(state, out)
    return out


def _master_said(
    state: AgentState, out: list[Effect], message: agentlink.FromMaster, now: float
) -> None:
    match message:
        case agentlink.RunTask():
            run.run_task(state, out, message, now)
        case agentlink.Acknowledge():
            updates.acknowledge(state, out, message, now)
        case agentlink.KillTask():
            frameworks.kill_task(state, out, message, now)
        case agentlink.Ping():
            registration.pinged(state, out, message)
        case agentlink.RunTaskGroup():
            run.run_task_group(state, out, message, now)
        case agentlink.FrameworkMessage():
            executors.message(state, out, message)
        case agentlink.UpdateFramework():
            frameworks.update(state, out, message)
        case agentlink.Drain():
            drain.told(state, out, message, now)
        case agentlink.ShutdownExecutor():
            frameworks.shut_down_executor(state, out, message, now)
        case agentlink.ShutdownFramework():
            frameworks.shut_down(state, out, FrameworkId(message.framework_id), now)
        case agentlink.Registered() | agentlink.Reregistered():
            registration.registered(state, out, message, now)
        case agentlink.Shutdown():
            registration.told_to_go(state, out, message, now)
        case agentlink.Standing():
            pass  # of a link that was waiting until a moment ago
        case _:
            assert_never(message)


def _timer_fired(state: AgentState, out: list[Effect], event: TimerFired) -> None:
    match event.key:
        case ("update", framework_id, task_id):
            updates.retry(state, out, FrameworkId(framework_id), TaskId(task_id))
        case ("kill", framework_id, task_id):
            killing.escalate(state, out, FrameworkId(framework_id), TaskId(task_id))
        case ("completion", framework_id, task_id):
            killing.completion_timed_out(
                state, out, FrameworkId(framework_id), TaskId(task_id), event.now
            )
        case ("launch", container_id):
            containers.launch_timed_out(state, out, ContainerId(container_id), event.now)
        case ("shutdown", framework_id, executor_id, run_id):
            executors.shutdown_timed_out(
                state, out, FrameworkId(framework_id), ExecutorId(executor_id), ContainerId(run_id)
            )
        case ("reregistration", framework_id, executor_id, _):
            executors.reregistration_timed_out(
                state, out, FrameworkId(framework_id), ExecutorId(executor_id)
            )
        case ("register",):
            registration.register(state, out)
        case ("ping",):
            registration.ping_timed_out(state, out)
        case _:
            pass
