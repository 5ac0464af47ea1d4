"""Which sandboxes to delete, and when: a week after their executor ended, sooner as the disk fills.

The age a directory may reach is Mesos's: gc_delay x max(0, 1 - headroom - used fraction), so that
with an almost full disk everything that is over goes at once. Times are seconds since the epoch.

A run's row leads to its directory and to those above it, so it is forgotten only when no deletion
is under way any more: an agent that is killed before begins again with what the rows tell.
"""

from __future__ import annotations

from mesos_twisted.agent.core import paths
from mesos_twisted.agent.core.effects import DeletePath, Effect, Forget
from mesos_twisted.agent.core.events import PathDeleted
from mesos_twisted.agent.core.state import AgentState, CompletedExecutor, Garbage, Policy
from mesos_twisted.protocol.ids import ExecutorId, FrameworkId


def allowed_age_s(policy: Policy, used_fraction: float) -> float:
    """How old garbage may become on a disk this full."""
    return policy.gc_delay_s * max(0.0, 1.0 - policy.gc_disk_headroom - used_fraction)


def schedule(
    state: AgentState, framework_id: FrameworkId, completed: CompletedExecutor, since: float
) -> None:
    """The run directory is garbage, and so are those above it that nothing lives in."""
    row = paths.done_key(framework_id, completed.id, completed.container_id)
    _put(state, completed.directory, Garbage(since, row))
    agent_id = state.agent_id
    if agent_id is None:
        return
    framework = state.frameworks.get(framework_id)
    if framework is None or completed.id not in framework.executors:
        _put(state, paths.executor_directory(agent_id, framework_id, completed.id), Garbage(since))
    if framework is None or not framework.executors:
        _put(state, paths.framework_directory(agent_id, framework_id), Garbage(since))


def schedule_old_agents(state: AgentState, agents: tuple[str, ...], now: float) -> None:
    """Sandboxes of agents that this work directory had before are garbage, from now on."""
    for one in agents:
        if one != state.agent_id:
            _put(state, paths.agent_directory(one), Garbage(now))


def unschedule(state: AgentState, framework_id: FrameworkId, executor_id: ExecutorId) -> None:
    """The directories above a new run are in use again; older runs stay garbage."""
    agent_id = state.agent_id
    if agent_id is not None:
        state.garbage.pop(paths.framework_directory(agent_id, framework_id), None)
        state.garbage.pop(paths.executor_directory(agent_id, framework_id, executor_id), None)


def collect(state: AgentState, out: list[Effect], used_fraction: float, now: float) -> None:
    """Everything older than the disk allows is being deleted."""
    allowed = allowed_age_s(state.policy, used_fraction)
    for path in [path for path, item in state.garbage.items() if now - item.since >= allowed]:
        item = state.garbage.pop(path)
        state.deleting[path] = item.row
        out.append(DeletePath(path))


def deleted(state: AgentState, out: list[Effect], event: PathDeleted) -> None:
    """One deletion ended; with the last one, the rows of all that is gone are forgotten.

    What could not be deleted keeps its row: the next start tries again.
    """
    row = state.deleting.pop(event.path, None)
    if row is not None and event.gone:
        state.deleted_rows.append(row)
    if not state.deleting:
        out += [Forget(row) for row in state.deleted_rows]
        state.deleted_rows.clear()


def _put(state: AgentState, path: str, item: Garbage) -> None:
    """Newest last: a path scheduled again starts anew."""
    state.garbage.pop(path, None)
    state.garbage[path] = item
