"""The SDK's driver of an executor."""

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk import Executor, ExecutorDriver
from tests.unit.sdk.test_scheduler import Accepted, FakeStream

ENVIRON = {"MESOS_FRAMEWORK_ID": "f", "MESOS_EXECUTOR_ID": "e", "MESOS_CHECKPOINT": "1"}


class Agent:
    """Takes every call."""

    def __init__(self) -> None:
        self.calls: list[m.ExecutorCall] = []
        self.stream = FakeStream()

    def request(self, method: str, path: str, headers: Any, body: bytes) -> Deferred[Any]:
        self.calls.append(codec_json.decode(m.ExecutorCall, body))
        return succeed(Accepted())

    def open_stream(self, method: str, path: str, headers: Any, body: bytes) -> Deferred[Any]:
        return succeed(self.stream)


def test_updates_carry_the_time_of_the_wall() -> None:
    """Whatever the reactor's clock counts from; they are sent once the stream is open."""
    agent, clock = Agent(), Clock()
    driver = ExecutorDriver(clock, Executor(), agent, ENVIRON, wall_clock=lambda: 1_700_000_000.5)
    driver.start()
    driver.update("t", m.TaskState.TASK_RUNNING)
    (call,) = agent.calls
    assert call.update is not None
    assert call.update.status.timestamp == 1_700_000_000.5
    driver.stop()
    assert agent.stream.closed and clock.getDelayedCalls() == []
