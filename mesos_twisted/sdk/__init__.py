"""Write a framework: a scheduler or an executor that talks to the cluster over mutual TLS.

`Scheduler` and `SchedulerDriver` are for Twisted programs, `sdk.sync` for plain synchronous ones,
`Executor` and `ExecutorDriver` for the other end, and `sdk.testing` runs a scheduler against a
cluster in memory.
"""

from mesos_twisted.sdk.executor import Executor, ExecutorDriver
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.sdk.values import (
    amount,
    command_task,
    framework_info,
    ranges,
    scalar,
)

__all__ = [
    "Executor",
    "ExecutorDriver",
    "Scheduler",
    "SchedulerDriver",
    "amount",
    "command_task",
    "framework_info",
    "ranges",
    "scalar",
]
