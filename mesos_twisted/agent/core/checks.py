"""What the outcomes of checks mean: when a task is healthy, when its scheduler hears, when it dies.

The edge runs the checks (delay, interval and timeout are its affair); here is the rest of the
policy. A failure inside the grace period, before the first success, does not count. Source:
health_checker.cpp, executor.cpp.
"""

from __future__ import annotations

import msgspec

from mesos_twisted.agent.core import killing, updates
from mesos_twisted.agent.core.effects import Effect, Log
from mesos_twisted.agent.core.events import CheckReported
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import AgentState, Health, Task
from mesos_twisted.protocol.generated import messages as m

_Reason = m.TaskStatusReason


def reported(state: AgentState, out: list[Effect], event: CheckReported) -> None:
    """One run of a check took effect; of a task that is being killed none does."""
    framework = state.frameworks.get(event.framework_id)
    task = None if framework is None else framework.tasks.get(event.task_id)
    if framework is None or task is None or task.health is None or not task.statuses:
        return
    if task.ended or task.kill is not None or task.container_id != event.container_id:
        return
    executor = framework.executors[task.executor_id]
    scene = Scene(state, out, framework, executor, event.now)
    if event.kind == "health":
        _health(scene, task, task.health, event)
    elif event.outcome is not None and event.outcome != task.health.check_status:
        task.health.check_status = event.outcome
        reason = _Reason.REASON_TASK_CHECK_STATUS_UPDATED
        _say(scene, task, reason)


def _health(scene: Scene, task: Task, health: Health, event: CheckReported) -> None:
    reason = _Reason.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
    if event.passed:
        news = health.healthy is not True
        health.healthy, health.failures = True, 0
        if news:
            _say(scene, task, reason)
        return
    check = task.info.health_check
    if check is None:
        return
    grace_s = check.grace_period_seconds
    if health.healthy is None and 0 < grace_s and event.now - health.started <= grace_s:
        return
    health.failures += 1
    health.healthy = False
    fields = (("task_id", task.id), ("failures", health.failures), ("why", event.message))
    text = "Health check of task {task_id} failed {failures} times consecutively: {why}"
    scene.out.append(Log("warn", text, fields))
    _say(scene, task, reason)
    if health.failures >= check.consecutive_failures:
        health.killed = True
        killing.kill(scene, task, None)


def _say(scene: Scene, task: Task, reason: m.TaskStatusReason) -> None:
    """The last status again, with a fresh uuid and what the checks say."""
    health = task.health
    last = task.statuses[-1]
    status = msgspec.structs.replace(
        last,
        uuid=scene.state.ids.uuid_bytes(),
        timestamp=scene.now,
        reason=reason,
        healthy=last.healthy if health is None or health.healthy is None else health.healthy,
        check_status=last.check_status
        if health is None or health.check_status is None
        else health.check_status,
    )
    updates.report(scene, task, status)
