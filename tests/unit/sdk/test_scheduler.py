"""The SDK's driver keeps a framework subscribed, and its author out of the details."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol import codec_json, recordio
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.sdk.values import command_task, framework_info, scalar


@dataclass
class FakeStream:
    """An open answer that the test feeds."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"mesos-stream-id": "s-1"})
    data: Callable[[bytes], object] | None = None
    end: Callable[[str], object] | None = None
    closed: bool = False

    def on_data(self, callback: Callable[[bytes], object]) -> None:
        self.data = callback

    def on_closed(self, callback: Callable[[str], object]) -> None:
        self.end = callback

    def close(self) -> None:
        self.closed = True

    def send(self, event: m.SchedulerEvent) -> None:
        assert self.data is not None
        self.data(recordio.encode(codec_json.encode(event)))

    def break_off(self, reason: str = "gone") -> None:
        assert self.end is not None
        self.end(reason)


@dataclass
class Accepted:
    status: int = 202
    body: bytes = b""


@dataclass
class FakeMaster:
    """Records calls; opens the streams the test prepared."""

    streams: list[FakeStream] = field(default_factory=list)
    calls: list[m.SchedulerCall] = field(default_factory=list)
    subscribes: list[m.SchedulerCall] = field(default_factory=list)
    answer: Accepted = field(default_factory=Accepted)

    def request(self, method: str, path: str, headers: Any, body: bytes) -> Deferred[Any]:
        assert ("Mesos-Stream-Id", "s-1") in headers
        self.calls.append(codec_json.decode(m.SchedulerCall, body))
        return succeed(self.answer)

    def open_stream(self, method: str, path: str, headers: Any, body: bytes) -> Deferred[Any]:
        self.subscribes.append(codec_json.decode(m.SchedulerCall, body))
        return succeed(self.streams.pop(0)) if self.streams else fail(UnavailableError("refused"))


class Author(Scheduler):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.hold: Deferred[None] | None = None

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        self.told.append(f"subscribed {framework_id}")

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        self.told.append(f"offers {len(offers)}")

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> Deferred[None] | None:
        self.told.append(status.state.value)
        if status.state is m.TaskState.TASK_LOST:
            raise ValueError("the author's own bug")
        return self.hold

    def disconnected(self, driver: SchedulerDriver, reason: str) -> None:
        self.told.append(f"disconnected {reason}")

    def error(self, driver: SchedulerDriver, message: str) -> None:
        self.told.append(f"error {message}")


@dataclass
class Bench:
    clock: Clock
    master: FakeMaster
    author: Author
    driver: SchedulerDriver
    streams: list[FakeStream]

    def subscribed(self, number: int = 0) -> None:
        self.streams[number].send(
            m.SchedulerEvent(
                type=m.SchedulerEventType.SUBSCRIBED,
                subscribed=m.SchedulerEventSubscribed(
                    framework_id=m.FrameworkID(value="f-1"), heartbeat_interval_seconds=15.0
                ),
            )
        )


def bench(streams: int = 1) -> Bench:
    clock, made = Clock(), [FakeStream() for _ in range(streams)]
    master, author = FakeMaster(list(made)), Author()
    driver = SchedulerDriver(clock, author, framework_info("n", "u"), master, jitter=lambda: 0.0)
    driver.start()
    return Bench(clock, master, author, driver, made)


def update(state: m.TaskState, uuid: bytes | None = bytes(16)) -> m.SchedulerEvent:
    status = m.TaskStatus(
        task_id=m.TaskID(value="t"), state=state, agent_id=m.AgentID(value="a"), uuid=uuid
    )
    return m.SchedulerEvent(
        type=m.SchedulerEventType.UPDATE, update=m.SchedulerEventUpdate(status=status)
    )


def acknowledged(master: FakeMaster) -> int:
    return sum(call.type is m.SchedulerCallType.ACKNOWLEDGE for call in master.calls)


def test_the_framework_learns_its_id_and_keeps_it_over_a_reconnect() -> None:
    one = bench(2)
    one.subscribed()
    one.streams[0].break_off("reset")
    one.clock.advance(1.0)
    assert one.author.told == ["subscribed f-1", "disconnected reset"]
    again = one.master.subscribes[1]
    assert again.framework_id == m.FrameworkID(value="f-1")
    assert again.subscribe is not None and again.subscribe.framework_info.id == again.framework_id


def test_an_update_is_acknowledged_when_its_callback_has_returned() -> None:
    one = bench()
    one.subscribed()
    one.streams[0].send(update(m.TaskState.TASK_RUNNING))
    assert acknowledged(one.master) == 1


def test_an_update_waits_for_the_callbacks_deferred() -> None:
    one = bench()
    one.subscribed()
    one.author.hold = Deferred()
    one.streams[0].send(update(m.TaskState.TASK_RUNNING))
    assert acknowledged(one.master) == 0
    one.author.hold.callback(None)
    assert acknowledged(one.master) == 1


def test_an_update_without_uuid_is_not_acknowledged() -> None:
    one = bench()
    one.subscribed()
    one.streams[0].send(update(m.TaskState.TASK_ERROR, uuid=None))
    assert one.author.told[-1] == "TASK_ERROR" and acknowledged(one.master) == 0


def test_a_broken_callback_leaves_the_update_to_come_again() -> None:
    one = bench()
    one.subscribed()
    one.streams[0].send(update(m.TaskState.TASK_LOST))
    assert acknowledged(one.master) == 0


def test_what_runs_is_reconciled_after_a_reconnect() -> None:
    one = bench(2)
    one.subscribed()
    one.streams[0].send(update(m.TaskState.TASK_RUNNING))
    one.streams[0].break_off()
    one.clock.advance(1.0)
    one.subscribed(1)
    reconcile = one.master.calls[-1]
    assert reconcile.type is m.SchedulerCallType.RECONCILE and reconcile.reconcile is not None
    assert [task.task_id.value for task in reconcile.reconcile.tasks] == ["t"]


def test_five_missed_heartbeats_are_a_dead_stream() -> None:
    one = bench(2)
    one.subscribed()
    for _ in range(17):
        one.clock.advance(5.0)
    assert one.streams[0].closed and len(one.master.subscribes) == 2


def test_attempts_spread_out_up_to_a_limit() -> None:
    one = bench(0)
    for _ in range(3000):
        one.clock.advance(0.1)
    assert 25 < len(one.master.subscribes) < 60


def test_an_error_event_stops_the_driver() -> None:
    one = bench()
    one.subscribed()
    one.streams[0].send(
        m.SchedulerEvent(
            type=m.SchedulerEventType.ERROR, error=m.SchedulerEventError(message="removed")
        )
    )
    assert one.author.told[-1] == "error removed"
    assert one.streams[0].closed and one.clock.getDelayedCalls() == []


def test_a_refused_call_says_the_masters_sentence() -> None:
    one = bench()
    one.subscribed()
    one.master.answer = Accepted(400, b"Framework cannot be found")
    failures: list[str] = []
    one.driver.kill("t").addErrback(lambda failure: failures.append(failure.getErrorMessage()))
    assert failures == ["Framework cannot be found"]


def test_a_call_before_the_subscription_is_not_sent() -> None:
    one = bench(0)
    failures: list[str] = []
    one.driver.revive().addErrback(lambda failure: failures.append(failure.getErrorMessage()))
    assert failures == ["Not subscribed: the call was not sent"] and one.master.calls == []


def test_stop_leaves_nothing_scheduled() -> None:
    one = bench()
    one.subscribed()
    one.driver.stop(teardown=True)
    assert one.master.calls[-1].type is m.SchedulerCallType.TEARDOWN
    assert one.clock.getDelayedCalls() == [] and one.streams[0].closed


def test_launch_carries_the_tasks_in_the_offers_role() -> None:
    one = bench()
    one.subscribed()
    offer = m.Offer(
        id=m.OfferID(value="o"),
        framework_id=m.FrameworkID(value="f-1"),
        agent_id=m.AgentID(value="a"),
        hostname="h",
        resources=(scalar("cpus", 1), scalar("mem", 64)),
        allocation_info=m.ResourceAllocationInfo(role="r"),
    )
    one.driver.launch(offer, [command_task("t", offer, "true")], refuse_s=1.0)
    accept = one.master.calls[-1].accept
    assert accept is not None and accept.filters == m.Filters(refuse_seconds=1.0)
    launch = accept.operations[0].launch
    assert launch is not None
    allocation = launch.task_infos[0].resources[0].allocation_info
    assert allocation is not None and allocation.role == "r"
    assert one.driver.session.live == {"t": "a"}


def test_an_answer_without_an_agent_leaves_the_agent_known() -> None:
    """The master names no agent of a task it knows nothing of. Asked of the agent where the task
    was to run, its answer is an end; asked of none it is TASK_UNKNOWN for ever."""
    one = bench()
    one.subscribed()
    one.driver.session.launched({"t": "a"})
    one.driver.kill("t")
    kill = one.master.calls[-1].kill
    assert kill is not None and kill.agent_id == m.AgentID(value="a")
    unknown = m.TaskStatus(task_id=m.TaskID(value="t"), state=m.TaskState.TASK_UNKNOWN)
    one.streams[0].send(
        m.SchedulerEvent(
            type=m.SchedulerEventType.UPDATE, update=m.SchedulerEventUpdate(status=unknown)
        )
    )
    assert one.driver.session.live == {"t": "a"}
