"""A scheduler written with the SDK, on a cluster in memory."""

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.sdk.testing import MemoryCluster, Outcome
from mesos_twisted.sdk.values import command_task, framework_info


class Author(Scheduler):
    """Launches so many tasks, one an offer, and writes down what happens."""

    def __init__(self, tasks: int = 1) -> None:
        self.left = tasks
        self.states: list[str] = []
        self.failures = 0
        self.launched = 0

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        for offer in offers:
            if self.left:
                self.left -= 1
                self.launched += 1
                driver.launch(offer, [command_task(f"t{self.launched}", offer, "true")], 0.0)
            else:
                driver.decline([offer])

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        self.states.append(status.state.value)

    def failure(self, driver: SchedulerDriver, failure: m.SchedulerEventFailure) -> None:
        self.failures += 1


def start(cluster: MemoryCluster, author: Author) -> SchedulerDriver:
    info = framework_info("test", "nobody", failover_timeout_s=60)
    driver = SchedulerDriver(cluster.clock, author, info, cluster.client(), jitter=lambda: 0.0)
    driver.start()
    return driver


def test_a_task_runs_and_finishes() -> None:
    cluster, author = MemoryCluster(), Author()
    start(cluster, author)
    cluster.advance(5.0)
    assert author.states == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]


def test_the_script_says_how_a_task_ends() -> None:
    failed = Outcome(0.5, m.TaskState.TASK_FAILED, "Command exited with status 1")
    cluster, author = MemoryCluster(script=lambda task: failed), Author()
    start(cluster, author)
    cluster.advance(5.0)
    assert author.states[-1] == "TASK_FAILED"


def test_many_tasks_share_several_agents() -> None:
    cluster = MemoryCluster(agents=["cpus:2;mem:1000"] * 3)
    author = Author(30)
    start(cluster, author)
    cluster.advance(60.0)
    assert author.states.count("TASK_FINISHED") == 30
    assert cluster.state.tasks is not None and list(cluster.state.tasks()) == []


def test_a_lost_agent_is_told_of() -> None:
    cluster = MemoryCluster(script=lambda task: Outcome(None))
    author = Author()
    start(cluster, author)
    cluster.advance(2.0)
    cluster.lose_agent(next(iter(cluster.agents.values())))
    cluster.advance(700.0, step_s=1.0)
    assert author.states[-1] == "TASK_UNREACHABLE" and author.failures == 1
