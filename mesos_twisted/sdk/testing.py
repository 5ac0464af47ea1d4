"""Run a scheduler against a cluster in memory: milliseconds, no port, no sleep.

    cluster = MemoryCluster()
    driver = SchedulerDriver(cluster.clock, MyScheduler(), info, cluster.client())
    driver.start()
    cluster.advance(10.0)

The master's decisions are the real ones. `MemoryCluster(agents=[...], script=...)` says which
agents there are and how tasks go; `lose_agent` and `add_agent` change the cluster under the
scheduler.
"""

from mesos_twisted.testing.memory_cluster import MemoryAgent, MemoryCluster, Outcome

__all__ = ["MemoryAgent", "MemoryCluster", "Outcome"]
