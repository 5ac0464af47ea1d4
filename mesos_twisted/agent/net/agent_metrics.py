"""The agent's gauges, read from its state at each snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mesos_twisted.agent.core.gc import allowed_age_s
from mesos_twisted.agent.core.state import AgentState, ExecutorState, Phase
from mesos_twisted.agent.net.fetcher_cache import FetchCache
from mesos_twisted.agent.views.state_v0 import allocated
from mesos_twisted.agent.views.v0_pieces import known
from mesos_twisted.metrics.names import RESOURCE_KINDS
from mesos_twisted.protocol.generated.messages import TaskState
from mesos_twisted.resources.algebra import Resources

_TASK_GAUGES = {
    TaskState.TASK_STAGING: "slave/tasks_staging",
    TaskState.TASK_STARTING: "slave/tasks_starting",
    TaskState.TASK_RUNNING: "slave/tasks_running",
    TaskState.TASK_KILLING: "slave/tasks_killing",
}
_EXECUTOR_GAUGES = {
    ExecutorState.REGISTERING: "slave/executors_registering",
    ExecutorState.RUNNING: "slave/executors_running",
    ExecutorState.TERMINATING: "slave/executors_terminating",
}


class AgentGauges:
    """One look at the state answers all of them; `now` gives epoch seconds."""

    def __init__(self, state: AgentState, cache: FetchCache, now: Callable[[], float]) -> None:
        self._state = state
        self._cache = cache
        self._now = now
        self.recovery_s = 0.0
        self.disk_used = 0.0

    def __call__(self) -> Mapping[str, float]:
        """Every gauge with its value now."""
        state = self._state
        found = self._resources()
        found.update(self._work())
        found["slave/frameworks_active"] = float(len(state.frameworks))
        found["slave/registered"] = float(state.phase is Phase.RUNNING)
        found["slave/uptime_secs"] = max(self._now() - state.start_time, 0.0)
        found["slave/recovery_time_secs"] = self.recovery_s
        found["slave/executor_directory_max_allowed_age_secs"] = allowed_age_s(
            state.policy, self.disk_used
        )
        found["gc/path_removals_pending"] = float(len(state.garbage) + len(state.deleting))
        found["containerizer/fetcher/cache_size_total_bytes"] = float(self._cache.max_bytes)
        found["containerizer/fetcher/cache_size_used_bytes"] = float(self._cache.used_bytes)
        found["resource_provider_manager/subscribed"] = 0.0
        return found

    def _resources(self) -> dict[str, float]:
        found: dict[str, float] = {}
        total, used = known(self._state.info.resources), allocated(self._state)
        for kind in RESOURCE_KINDS:
            for form, revocable in (("", False), ("_revocable", True)):
                whole, part = _amount(total, kind, revocable), _amount(used, kind, revocable)
                found[f"slave/{kind}{form}_total"] = whole
                found[f"slave/{kind}{form}_used"] = part
                found[f"slave/{kind}{form}_percent"] = part / whole if whole else 0.0
        return found

    def _work(self) -> dict[str, float]:
        found = dict.fromkeys((*_TASK_GAUGES.values(), *_EXECUTOR_GAUGES.values()), 0.0)
        for framework in self._state.frameworks.values():
            for executor in framework.executors.values():
                name = _EXECUTOR_GAUGES.get(executor.state)
                if name is not None:
                    found[name] += 1.0
                for task in executor.tasks.values():
                    name = _TASK_GAUGES.get(task.state)
                    if name is not None:
                        found[name] += 1.0
        return found


def _amount(resources: Resources, name: str, revocable: bool) -> float:
    return (
        sum(
            one.value
            for one in resources
            if one.name == name and one.revocable is revocable and isinstance(one.value, int)
        )
        / 1000
    )
