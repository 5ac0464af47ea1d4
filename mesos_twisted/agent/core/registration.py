"""The agent and its master: registering, staying registered, and noticing that it is not.

LinkOpened -> Register (no id yet) or Reregister (with all it has), again after a growing pause
Registered / Reregistered -> every owed update goes out; pings must keep coming
from a master behind the last followed -> its link is closed, nothing of it is obeyed
no ping in time, or LinkClosed -> disconnected: tasks go on, nothing is sent
"""

from __future__ import annotations

import msgspec

from mesos_twisted.agent.core import compatibility, ending, frameworks, rows, updates
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    Effect,
    Log,
    Reconnect,
    SendToMaster,
    StartTimer,
    StopAgent,
)
from mesos_twisted.agent.core.events import LinkClosed, LinkOpened
from mesos_twisted.agent.core.state import AgentState, ExecutorKind, ExecutorState, Leader, Phase
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, TaskId

_REGISTER = ("register",)
_PING = ("ping",)


def link_opened(state: AgentState, out: list[Effect], event: LinkOpened) -> None:
    """The agent asks this master to admit it."""
    state.link = event.link
    if state.phase in (Phase.RECOVERING, Phase.TERMINATING):
        return
    state.phase = Phase.REGISTERING
    state.backoff_s = state.policy.registration_backoff_s
    register(state, out)


def link_closed(state: AgentState, out: list[Effect], event: LinkClosed) -> None:
    """The agent has no master; tasks go on."""
    if state.link != event.link:
        return
    state.link = None
    out.append(CancelTimer(_REGISTER))
    out.append(CancelTimer(_PING))
    if state.phase in (Phase.REGISTERING, Phase.RUNNING):
        state.phase = Phase.DISCONNECTED


def register(state: AgentState, out: list[Effect]) -> None:
    """One try; the next comes after the back-off with jitter unless an answer does."""
    if state.phase is not Phase.REGISTERING:
        return
    policy = state.policy
    if state.agent_id is None:
        message: agentlink.FromAgent = agentlink.Register(
            info=state.info,
            pid=policy.pid,
            version=policy.version,
            capabilities=policy.capabilities,
            drains=True,
        )
    else:
        message = reregister(state)
    out.append(SendToMaster(message))
    jitter = int.from_bytes(state.ids.uuid_bytes()[:4], "big") / 2**32
    out.append(StartTimer(_REGISTER, state.backoff_s * (0.5 + 0.5 * jitter)))
    state.backoff_s = min(state.backoff_s * 2, policy.registration_backoff_max_s)


def reregister(state: AgentState) -> agentlink.Reregister:
    """All that a master must know of this agent: what runs, what is owed, what is over."""
    infos: list[m.FrameworkInfo] = []
    executors: list[agentlink.LinkExecutor] = []
    tasks: list[m.Task] = []
    for framework in state.frameworks.values():
        infos.append(framework.info)
        for executor in framework.executors.values():
            over = executor.state is ExecutorState.TERMINATED
            if executor.kind is not ExecutorKind.COMMAND and not over:
                executors.append(
                    agentlink.LinkExecutor(
                        framework_id=framework.id,
                        info=executor.info,
                        resources=executor.info.resources,
                    )
                )
            tasks.extend(ending.to_task(state, executor, t) for t in executor.tasks.values())
    completed = tuple(
        agentlink.LinkCompletedFramework(
            info=framework.info,
            tasks=tuple(task for executor in framework.completed for task in executor.tasks),
        )
        for framework in state.completed_frameworks.values()
    )
    return agentlink.Reregister(
        info=state.info,
        pid=state.policy.pid,
        version=state.policy.version,
        frameworks=tuple(infos),
        executors=tuple(executors),
        tasks=tuple(tasks),
        completed=completed,
        owing=_owing(state),
        capabilities=state.policy.capabilities,
        drains=True,
        draining=state.drain is not None,
    )


def _owing(state: AgentState) -> tuple[str, ...]:
    """Frameworks without anything here that have updates to acknowledge all the same."""
    owed = {key[0] for key, stream in state.streams.items() if stream.pending}
    return tuple(sorted(owed - state.frameworks.keys()))


def _refuse(state: AgentState, out: list[Effect], leader: Leader) -> None:
    """A deposed master that does not know it, or one that leads by an old copy of its registry."""
    text = (
        f"Refusing the master {leader.master_id} of epoch {leader.epoch}: this agent has followed "
        f"{state.leader.master_id} of epoch {state.leader.epoch} by the same registry "
        f"({leader.registry_id}). If the new one is to lead by an older copy of the registry, put "
        "the copy in place with `mesos-twisted registry restore`"
    )
    out.append(Log("error", text))
    out.append(CancelTimer(_REGISTER))
    out.append(CancelTimer(_PING))
    out.append(Reconnect(text))
    # What else came on this link is nobody's word.
    state.link = None
    state.phase = Phase.DISCONNECTED


def told_to_go(
    state: AgentState, out: list[Effect], message: agentlink.Shutdown, now: float
) -> None:
    """Every task is ending and then the agent, unless the master has nothing to say here."""
    leader = Leader(message.registry_id, message.epoch, message.master_id)
    if leader.is_behind(state.leader):
        _refuse(state, out, leader)
        return
    why = message.message or "the master asked for it"
    frameworks.shut_down_agent(state, out, why, now, unregister=False)


def registered(
    state: AgentState,
    out: list[Effect],
    message: agentlink.Registered | agentlink.Reregistered,
    now: float,
) -> None:
    """The agent is admitted: its id is on disk, and it serves."""
    if state.phase not in (Phase.REGISTERING, Phase.RUNNING):
        return
    leader = Leader(message.registry_id, message.epoch, message.master_id)
    if leader.is_behind(state.leader):
        _refuse(state, out, leader)
        return
    known = state.agent_id
    if known is not None and known != message.agent_id:
        text = (
            f"The master knows this agent as {message.agent_id}, but its work directory says "
            f"{known}: start it with another --work_dir, or {compatibility.START_ANEW}."
        )
        out.append(Log("error", text))
        out.append(StopAgent(1, text))
        return
    if known is None:
        state.info = msgspec.structs.replace(state.info, id=m.AgentID(value=message.agent_id))
    if known is None or leader != state.leader:
        state.leader = leader
        out.append(rows.agent(state.info, leader))
    again = state.phase is Phase.RUNNING
    state.phase = Phase.RUNNING
    state.master_id = message.master_id
    state.master_version = message.master_version
    state.master_hostname = message.master_hostname
    state.ping_timeout_s = message.ping_timeout_s
    state.registered_time = now
    out.append(CancelTimer(_REGISTER))
    out.append(StartTimer(_PING, state.ping_timeout_s))
    fields = (("agent_id", message.agent_id), ("master_id", message.master_id))
    out.append(Log("info", "Agent {agent_id} is registered with master {master_id}", fields))
    if not again:
        updates.resend_all(state, out)
    if isinstance(message, agentlink.Reregistered):
        _reconcile(state, out, message, now)


def _reconcile(
    state: AgentState, out: list[Effect], message: agentlink.Reregistered, now: float
) -> None:
    """What the master believes and the agent does not have is reported; what it removed ends."""
    for framework_name, task_name in message.unknown:
        framework_id, task_id = FrameworkId(framework_name), TaskId(task_name)
        known = (framework_id, task_id) in state.streams
        if known or state.task(framework_id, task_id) is not None:
            continue
        status = updates.foreign_status(
            state,
            m.TaskID(value=task_id),
            updates.dropped_state(state.frameworks.get(framework_id)),
            now,
            "Reconciliation: task unknown to the agent",
            m.TaskStatusReason.REASON_RECONCILIATION,
        )
        updates.enqueue(state, out, framework_id, task_id, None, status)
    for name in message.removed:
        frameworks.shut_down(state, out, FrameworkId(name), now)


def pinged(state: AgentState, out: list[Effect], ping: agentlink.Ping) -> None:
    """The master hears that we live; one that lost our registration is asked for it again."""
    out.append(SendToMaster(agentlink.Pong()))
    if state.phase is not Phase.RUNNING:
        return
    out.append(StartTimer(_PING, state.ping_timeout_s))
    if not ping.connected:
        state.phase = Phase.REGISTERING
        state.backoff_s = state.policy.registration_backoff_s
        out.append(CancelTimer(_PING))
        register(state, out)


def ping_timed_out(state: AgentState, out: list[Effect]) -> None:
    """The master fell silent: the link is given up and the leader looked for again."""
    if state.phase is not Phase.RUNNING:
        return
    state.phase = Phase.DISCONNECTED
    text = f"No ping from the master in {state.ping_timeout_s:g} s"
    out.append(Log("warn", text))
    out.append(Reconnect(text))
