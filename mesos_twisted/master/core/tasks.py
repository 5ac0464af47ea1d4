"""Tasks from launch to the last acknowledgement: updates, acks, kills, messages, executors' ends.

`TRANSITIONS` is the task's machine as the master keeps it: what the agent reports last is the state
until a terminal one is reached, and that one stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesos_twisted.master.core import books, notify, reconcile
from mesos_twisted.master.core.effects import Effect, SendToAgent
from mesos_twisted.master.core.events import TaskKillAsked
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Task
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ExecutorId, FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL

State = m.TaskState
#: States only the master gives; a report of one of them is not believed.
#: (GONE_BY_OPERATOR an agent says that is being drained to be marked gone.)
MASTERS_OWN = frozenset({State.TASK_UNREACHABLE, State.TASK_UNKNOWN})

#: (state, reported) -> state, for every pair.
TRANSITIONS: Mapping[tuple[m.TaskState, m.TaskState], m.TaskState] = {
    (state, reported): state if state in TERMINAL or reported in MASTERS_OWN else reported
    for state in State
    for reported in State
}


def update(
    state: MasterState,
    agent: Agent,
    said: agentlink.StatusUpdate,
    now: float,
    out: list[Effect],
) -> None:
    """The task is in its latest state (its resources free once that is terminal), and a connected
    framework has the update. Without a stream nothing is sent: the agent repeats it later."""
    out.append(notify.count("master/messages_status_update"))
    status = said.status
    framework = state.frameworks.get(FrameworkId(said.framework_id))
    if status.uuid is None or framework is None:
        out.append(notify.count("master/invalid_status_updates"))
        notify.log(
            out,
            "warn",
            "Ignoring an update of task {task_id} of framework {framework_id}",
            task_id=status.task_id.value,
            framework_id=said.framework_id,
        )
        return
    task_id = TaskId(status.task_id.value)
    task = agent.tasks.get((framework.framework_id, task_id))
    if task is None and task_id in framework.tasks:
        # The agent came back with a task whose id is another's by now, and is killing it: nothing
        # of it concerns the framework, and the agent need not wait for an answer.
        out.append(notify.count("master/invalid_status_updates"))
        if agent.link is not None:
            ack = agentlink.Acknowledge(
                framework_id=framework.framework_id, task_id=task_id, uuid=status.uuid
            )
            out.append(SendToAgent(agent.link, ack))
        return
    if framework.connection is not None:
        if task is not None:
            task.forwarded = status.state
            task.forwarded_uuid = status.uuid
        notify.send_update(framework, status, out)
    valid = task is not None and framework.connection is not None
    out.append(
        notify.count("master/valid_status_updates" if valid else "master/invalid_status_updates")
    )
    if task is not None:
        _advance(state, framework, task, status, said.latest_state, now, out)


def _advance(
    state: MasterState,
    framework: Framework,
    task: Task,
    status: m.TaskStatus,
    latest: m.TaskState,
    now: float,
    out: list[Effect],
) -> None:
    was, was_terminal = task.state, task.terminal
    task.state = TRANSITIONS[(was, latest)]
    task.version += 1
    framework.version += 1
    moved = task.state is not was
    # (Mesos tells operators of the statuses' states alone: they miss one that came with a repeat.)
    if moved or not task.statuses or task.statuses[-1].uuid != status.uuid:
        books.note_status(state, task, status, out, moved)
    if task.terminal and not was_terminal:
        books.free_task(state, framework, task, now, out)
        # By its latest state: the end's own update may come much later, or after others.
        notify.count_end(framework, status, out, task.state)


def acknowledge(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallAcknowledge,
    now: float,
    out: list[Effect],
) -> None:
    """The agent knows that the framework has the update; a task is over with its terminal one."""
    out.append(notify.count("master/messages_status_update_acknowledgement"))
    agent = state.agents.get(AgentId(call.agent_id.value))
    task_id = TaskId(call.task_id.value)
    task = None if agent is None else agent.tasks.get((framework.framework_id, task_id))
    if agent is None or agent.link is None or (task is not None and task.forwarded is None):
        out.append(notify.count("master/invalid_status_update_acknowledgements"))
        return
    if task is not None and task.forwarded in TERMINAL and task.forwarded_uuid == call.uuid:
        books.remove_task(state, framework, task, now, out)
    message = agentlink.Acknowledge(
        framework_id=framework.framework_id, task_id=task_id, uuid=call.uuid
    )
    out.append(SendToAgent(agent.link, message))
    out.append(notify.count("master/valid_status_update_acknowledgements"))


def kill(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallKill,
    now: float,
    out: list[Effect],
) -> None:
    """KILL: the agent is asked, now or when it is back; an unknown task is reconciled; a kill that
    names another agent than the task's is ignored."""
    out.append(notify.count("master/messages_kill_task"))
    task_id = TaskId(call.task_id.value)
    given = None if call.agent_id is None else AgentId(call.agent_id.value)
    task = framework.tasks.get(task_id)
    if task is None:
        reconcile.explain(state, framework, task_id, given, now, out)
        return
    if given is not None and given != task.agent_id:
        notify.log(
            out,
            "warn",
            "Ignoring kill of task {task_id}: it is on {agent_id}, not on {given}",
            task_id=task_id,
            agent_id=task.agent_id,
            given=given,
        )
        return
    agent = state.agents[task.agent_id]
    agent.kills[(framework.framework_id, task_id)] = call.kill_policy
    if agent.link is not None:
        message = agentlink.KillTask(
            framework_id=framework.framework_id, task_id=task_id, kill_policy=call.kill_policy
        )
        out.append(SendToAgent(agent.link, message))


def kill_for_operator(state: MasterState, event: TaskKillAsked, out: list[Effect]) -> None:
    """As if the scheduler had asked, and noted; nothing when the task is not there."""
    framework = state.frameworks.get(event.framework_id)
    if framework is None or event.task_id not in framework.tasks:
        return
    notify.log(
        out,
        "info",
        "Killing task {task_id} of framework {framework_id}: asked for by {principal}",
        task_id=event.task_id,
        framework_id=event.framework_id,
        principal=event.principal,
    )
    call = m.SchedulerCallKill(task_id=m.TaskID(value=event.task_id))
    kill(state, framework, call, event.now, out)


def message_executor(
    state: MasterState, framework: Framework, call: m.SchedulerCallMessage, out: list[Effect]
) -> None:
    """MESSAGE: the bytes go to the executor's agent, at most once."""
    out.append(notify.count("master/messages_framework_to_executor"))
    agent = state.agents.get(AgentId(call.agent_id.value))
    if agent is None or agent.link is None:
        out.append(notify.count("master/invalid_framework_to_executor_messages"))
        return
    message = agentlink.FrameworkMessage(
        framework_id=framework.framework_id, executor_id=call.executor_id.value, data=call.data
    )
    out.append(SendToAgent(agent.link, message))
    out.append(notify.count("master/valid_framework_to_executor_messages"))


def message_framework(
    state: MasterState, agent: Agent, said: agentlink.ExecutorMessage, out: list[Effect]
) -> None:
    """An executor's bytes go to its framework, when that has a stream."""
    out.append(notify.count("master/messages_executor_to_framework"))
    framework = state.frameworks.get(FrameworkId(said.framework_id))
    if framework is None or framework.connection is None:
        out.append(notify.count("master/invalid_executor_to_framework_messages"))
        return
    event = m.SchedulerEvent(
        type=notify.Kind.MESSAGE,
        message=m.SchedulerEventMessage(
            agent_id=m.AgentID(value=agent.agent_id),
            executor_id=m.ExecutorID(value=said.executor_id),
            data=said.data,
        ),
    )
    notify.send(framework, event, out)
    out.append(notify.count("master/valid_executor_to_framework_messages"))


def shutdown_executor(
    state: MasterState, framework: Framework, call: m.SchedulerCallShutdown, out: list[Effect]
) -> None:
    """SHUTDOWN: the agent is asked to end the executor."""
    agent = state.agents.get(AgentId(call.agent_id.value))
    if agent is None or agent.link is None:
        notify.log(
            out,
            "warn",
            "Ignoring shutdown of executor {executor_id}: agent {agent_id} is not connected",
            executor_id=call.executor_id.value,
            agent_id=call.agent_id.value,
        )
        return
    message = agentlink.ShutdownExecutor(
        framework_id=framework.framework_id, executor_id=call.executor_id.value
    )
    out.append(SendToAgent(agent.link, message))


def executor_exited(
    state: MasterState,
    agent: Agent,
    said: agentlink.ExitedExecutor,
    now: float,
    out: list[Effect],
) -> None:
    """The executor is out of the tables, its resources free, and its framework told. Its tasks'
    ends come as updates from the agent. Executors of command tasks are not known here."""
    out.append(notify.count("master/messages_exited_executor"))
    framework_id = FrameworkId(said.framework_id)
    executor_id = ExecutorId(said.executor_id)
    executor = agent.executors.get(framework_id, {}).get(executor_id)
    if executor is None:
        return
    framework = state.frameworks[framework_id]
    books.remove_executor(state, framework, agent, executor, now)
    out.append(books.REQUEST_ALLOCATION)
    notify.send_executor_failure(framework, agent.agent_id, executor_id, said.status, out)
