"""Every metric's name, once: Mesos's own, so that existing dashboards keep working.

Names that hold an id (frameworks, roles, reasons) are built by the functions below. Which code
feeds a metric is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

RESOURCE_KINDS: Final = ("cpus", "mem", "disk", "gpus")
#: The names of operations in metrics; launches are counted by framework only.
OPERATION_TYPES: Final = (
    "reserve",
    "unreserve",
    "create",
    "destroy",
    "grow_volume",
    "shrink_volume",
    "create_disk",
    "destroy_disk",
)
OPERATION_STATES: Final = (
    "dropped",
    "error",
    "failed",
    "finished",
    "gone_by_operator",
    "pending",
    "recovering",
    "unreachable",
)
ACTIVE_STATES: Final = ("staging", "starting", "running", "killing", "unreachable")
TERMINAL_STATES: Final = (
    "dropped",
    "error",
    "failed",
    "finished",
    "gone",
    "gone_by_operator",
    "killed",
    "lost",
)
PERCENTILES: Final = (
    ("p50", 0.5),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p999", 0.999),
    ("p9999", 0.9999),
)


def _resource_gauges(prefix: str) -> Iterator[str]:
    for kind in RESOURCE_KINDS:
        for form in ("", "_revocable"):
            for what in ("total", "used", "percent"):
                yield f"{prefix}/{kind}{form}_{what}"


def _operations() -> Iterator[str]:
    for state in (*OPERATION_STATES, "total"):
        yield f"master/operations/{state}"
        for kind in OPERATION_TYPES:
            yield f"master/operations/{kind}/{state}"


def _words(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in names.split())


SYSTEM_GAUGES: Final = _words(
    "system/", "cpus_total load_1min load_5min load_15min mem_free_bytes mem_total_bytes"
)

#: Asked at each snapshot.
MASTER_GAUGES: Final = (
    *_resource_gauges("master"),
    *_words(
        "master/",
        "elected uptime_secs outstanding_offers operator_event_stream_subscribers "
        "event_queue_dispatches event_queue_http_requests event_queue_messages "
        "frameworks_active frameworks_connected frameworks_disconnected frameworks_inactive "
        "slaves_active slaves_connected slaves_disconnected slaves_inactive slaves_unreachable "
        "tasks_killing tasks_running tasks_staging tasks_starting tasks_unreachable",
    ),
    *_words("allocator/", "event_queue_dispatches mesos/event_queue_dispatches"),
    *(
        f"allocator/mesos/resources/{kind}/{what}"
        for kind in ("cpus", "disk", "mem")
        for what in ("offered_or_allocated", "total")
    ),
    "master/standby_links",
    "registrar/queued_operations",
    "registrar/registry_size_bytes",
    "registrar/state_fetch_ms",
    *SYSTEM_GAUGES,
)

#: Only ever rise; all are shown from the start, at 0.
MASTER_COUNTERS: Final = (
    *_operations(),
    *_words(
        "master/",
        "dropped_messages http_cache_hits recovery_slave_removals "
        "slave_registrations slave_reregistrations slave_removals "
        "slave_removals/reason_registered slave_removals/reason_unhealthy "
        "slave_removals/reason_unregistered "
        "slave_shutdowns_canceled slave_shutdowns_completed slave_shutdowns_scheduled "
        "slave_unreachable_canceled slave_unreachable_completed slave_unreachable_scheduled",
    ),
    *(f"master/tasks_{state}" for state in TERMINAL_STATES),
    *_words(
        "master/messages_",
        "authenticate deactivate_framework decline_offers executor_to_framework exited_executor "
        "framework_to_executor kill_task launch_tasks operation_status_update "
        "operation_status_update_acknowledgement reconcile_operations reconcile_tasks "
        "register_framework register_slave reregister_framework reregister_slave resource_request "
        "revive_offers status_update status_update_acknowledgement suppress_offers "
        "unregister_framework unregister_slave update_slave",
    ),
    *(
        f"master/{verdict}_{what}"
        for verdict in ("invalid", "valid")
        for what in (
            "executor_to_framework_messages",
            "framework_to_executor_messages",
            "operation_status_update_acknowledgements",
            "operation_status_updates",
            "status_update_acknowledgements",
            "status_updates",
        )
    ),
    "allocator/mesos/allocation_runs",
)

#: Shown with count, min, max and percentiles once something was timed.
MASTER_TIMERS: Final = (
    "allocator/mesos/allocation_run_ms",
    "allocator/mesos/allocation_run_latency_ms",
    "master/event_loop_lag_ms",
    "master/gc_pause_ms",
    "registrar/state_store_ms",
)

AGENT_GAUGES: Final = (
    *_resource_gauges("slave"),
    *_words(
        "slave/",
        "executor_directory_max_allowed_age_secs executors_registering executors_running "
        "executors_terminating frameworks_active recovery_time_secs registered standby_links "
        "uptime_secs "
        "tasks_killing tasks_running tasks_staging tasks_starting",
    ),
    "gc/path_removals_pending",
    "containerizer/fetcher/cache_size_total_bytes",
    "containerizer/fetcher/cache_size_used_bytes",
    "resource_provider_manager/subscribed",
    *SYSTEM_GAUGES,
)

AGENT_COUNTERS: Final = (
    *_words(
        "slave/",
        "container_launch_errors executors_preempted executors_terminated "
        "invalid_framework_messages invalid_status_updates recovery_errors standby_links_used "
        "tasks_failed tasks_finished tasks_gone tasks_killed tasks_lost "
        "valid_framework_messages valid_status_updates",
    ),
    "gc/path_removals_failed",
    "gc/path_removals_succeeded",
    "containerizer/fetcher/task_fetches_failed",
    "containerizer/fetcher/task_fetches_succeeded",
    "containerizer/mesos/container_destroy_errors",
    "containerizer/mesos/provisioner/bind/remove_rootfs_errors",
    "containerizer/mesos/provisioner/remove_container_errors",
    "resource_provider_manager/events/disconnect",
    "resource_provider_manager/events/subscribe",
)

CALL_TYPES: Final = (
    "accept",
    "accept_inverse_offers",
    "acknowledge",
    "acknowledge_operation_status",
    "decline",
    "decline_inverse_offers",
    "kill",
    "message",
    "reconcile",
    "reconcile_operations",
    "request",
    "revive",
    "shutdown",
    "subscribe",
    "suppress",
    "teardown",
    "update_framework",
)
EVENT_TYPES: Final = (
    "error",
    "failure",
    "heartbeat",
    "inverse_offers",
    "message",
    "offers",
    "rescind",
    "rescind_inverse_offer",
    "subscribed",
    "update",
    "update_operation_status",
)


def framework_prefix(name: str, framework_id: str) -> str:
    """What every metric of one framework begins with, slash included."""
    return f"master/frameworks/{quote(name, safe='')}/{framework_id}/"


def framework_counters(prefix: str) -> Iterator[str]:
    """Every counter of one framework."""
    yield prefix + "calls"
    yield prefix + "events"
    yield prefix + "operations"
    yield from (f"{prefix}calls/{kind}" for kind in CALL_TYPES)
    yield from (f"{prefix}events/{kind}" for kind in EVENT_TYPES)
    yield from (f"{prefix}operations/{kind}" for kind in (*OPERATION_TYPES, "launch"))
    yield prefix + "operations/launch_group"
    yield from (f"{prefix}offers/{what}" for what in ("accepted", "declined", "rescinded", "sent"))
    yield from (f"{prefix}tasks/terminal/task_{state}" for state in TERMINAL_STATES)


def task_reason(state: str, source: str, reason: str) -> str:
    """`master/task_lost/source_master/reason_invalid_offers` and its like, from enum names."""
    return f"master/{state.lower()}/{source.lower()}/{reason.lower()}"
