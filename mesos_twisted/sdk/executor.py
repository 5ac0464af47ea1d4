"""An executor on Twisted: the author's callbacks, and the driver that speaks to the agent.

The agent starts the executor's command with MESOS_AGENT_ENDPOINT, MESOS_FRAMEWORK_ID,
MESOS_EXECUTOR_ID and, where executors prove who they are, MESOS_EXECUTOR_AUTHENTICATION_TOKEN in
its environment. The driver subscribes on the loopback listener, sends updates until they are
acknowledged, and subscribes again with whatever is unacknowledged after the agent's restart.
Source: executor-http-api.md.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers, backoff
from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.recordio import Decoder
from mesos_twisted.sdk.master import Answer, Master, Stream
from mesos_twisted.transport.messages import Headers
from mesos_twisted.units import parse_duration

PATH = "/api/v1/executor"
MAX_EVENT_BYTES = 64 << 20


class Executor:
    """What an executor's author overrides. Every method may return a Deferred or nothing."""

    def subscribed(self, driver: ExecutorDriver, event: m.ExecutorEventSubscribed) -> object:
        """The agent accepted the executor (also after each reconnect)."""

    def launch(self, driver: ExecutorDriver, task: m.TaskInfo) -> object:
        """Run a task: send TASK_RUNNING, and a terminal state in the end."""

    def launch_group(self, driver: ExecutorDriver, tasks: tuple[m.TaskInfo, ...]) -> object:
        """Run a task group; by default, each task by itself."""
        for task in tasks:
            self.launch(driver, task)
        return None

    def kill(self, driver: ExecutorDriver, task_id: str) -> object:
        """End a task."""

    def message(self, driver: ExecutorDriver, data: bytes) -> object:
        """Bytes from the scheduler, at most once."""

    def shutdown(self, driver: ExecutorDriver) -> object:
        """End everything; the agent forces it after its grace period."""

    def error(self, driver: ExecutorDriver, message: str) -> object:
        """The agent refused the executor for good."""


class ExecutorDriver:
    """Keeps one executor subscribed to its agent. `agent` is a client for the agent's endpoint."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        executor: Executor,
        agent: Master,
        environ: Mapping[str, str] = os.environ,
        *,
        fresh_uuid: Callable[[], bytes] = lambda: uuid.uuid4().bytes,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.executor = executor
        self.framework_id = environ["MESOS_FRAMEWORK_ID"]
        self.executor_id = environ["MESOS_EXECUTOR_ID"]
        self._agent, self._clock, self._timers = agent, reactor, Timers(reactor)
        self._fresh_uuid = fresh_uuid
        self._wall_clock = wall_clock
        self._headers: Headers = (
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
        )
        token = environ.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN")
        if token:
            self._headers = (*self._headers, ("Authorization", f"Bearer {token}"))
        self._checkpoint = environ.get("MESOS_CHECKPOINT") == "1"
        self._longest_wait = parse_duration(
            environ.get("MESOS_SUBSCRIPTION_BACKOFF_MAX") or "2secs"
        )
        self._recovery = parse_duration(environ.get("MESOS_RECOVERY_TIMEOUT") or "15mins")
        self._updates: dict[bytes, m.TaskStatus] = {}
        self._tasks: dict[str, m.TaskInfo] = {}
        self._stream: Stream | None = None
        self._done: Deferred[str] = Deferred()
        self._attempt, self._stopped = 0, False
        self._lost_at: float | None = None

    def start(self) -> Deferred[str]:
        """Subscribe and stay so. Fires with the reason when the driver has stopped."""
        self._connect()
        return self._done

    def stop(self, reason: str = "stopped") -> None:
        """Close the connection; the agent sees the executor's process end."""
        if self._stopped:
            return
        self._stopped = True
        self._timers.cancel_all()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._done.callback(reason)

    def update(
        self,
        task_id: str,
        state: m.TaskState,
        message: str | None = None,
        data: bytes | None = None,
    ) -> None:
        """Report a task's state; it is sent again after a reconnect until acknowledged."""
        fresh = self._fresh_uuid()
        status = m.TaskStatus(
            task_id=m.TaskID(value=task_id),
            state=state,
            message=message,
            data=data,
            source=m.TaskStatusSource.SOURCE_EXECUTOR,
            executor_id=m.ExecutorID(value=self.executor_id),
            timestamp=self._wall_clock(),
            uuid=fresh,
        )
        self._updates[fresh] = status
        self._send(self._call(m.ExecutorCallType.UPDATE, update=status))

    def send(self, data: bytes) -> None:
        """Bytes to the scheduler, at most once."""
        body = m.ExecutorCall(
            type=m.ExecutorCallType.MESSAGE,
            framework_id=m.FrameworkID(value=self.framework_id),
            executor_id=m.ExecutorID(value=self.executor_id),
            message=m.ExecutorCallMessage(data=data),
        )
        self._send(body)

    def _call(self, kind: m.ExecutorCallType, update: m.TaskStatus | None = None) -> m.ExecutorCall:
        return m.ExecutorCall(
            type=kind,
            framework_id=m.FrameworkID(value=self.framework_id),
            executor_id=m.ExecutorID(value=self.executor_id),
            update=m.ExecutorCallUpdate(status=update) if update else None,
        )

    def _send(self, call: m.ExecutorCall) -> None:
        if self._stream is None:
            return
        answer = self._agent.request("POST", PATH, self._headers, codec_json.encode(call))
        answer.addCallbacks(self._answered, self._not_sent)

    def _answered(self, answer: Answer) -> None:
        if answer.status not in (200, 202):
            text = answer.body.decode("utf-8", "replace")
            self._log.warn("The agent refused a call: {reason}", reason=text)

    def _not_sent(self, failure: Failure) -> None:
        failure.trap(UnavailableError)
        self._log.warn("A call was not sent: {reason}", reason=failure.getErrorMessage())

    def _connect(self) -> None:
        call = m.ExecutorCall(
            type=m.ExecutorCallType.SUBSCRIBE,
            framework_id=m.FrameworkID(value=self.framework_id),
            executor_id=m.ExecutorID(value=self.executor_id),
            subscribe=m.ExecutorCallSubscribe(
                unacknowledged_tasks=tuple(self._tasks.values()),
                unacknowledged_updates=tuple(
                    m.ExecutorCallUpdate(status=status) for status in self._updates.values()
                ),
            ),
        )
        opened = self._agent.open_stream("POST", PATH, self._headers, codec_json.encode(call))
        opened.addCallbacks(self._opened, self._not_opened).addErrback(self._broken)

    def _opened(self, stream: Stream) -> None:
        if self._stopped:
            stream.close()
            return
        if stream.status != 200:
            stream.close()
            self._again(f"HTTP status {stream.status}")
            return
        decoder = Decoder(MAX_EVENT_BYTES)
        self._stream, self._attempt, self._lost_at = stream, 0, None
        stream.on_closed(lambda reason: self._closed(stream, reason))
        stream.on_data(lambda data: self._data(stream, decoder, data))

    def _not_opened(self, failure: Failure) -> None:
        failure.trap(UnavailableError, MalformedError)
        self._again(failure.getErrorMessage())

    def _closed(self, stream: Stream, reason: str) -> None:
        if stream is self._stream:
            self._stream = None
            self._again(reason)

    def _again(self, reason: str) -> None:
        if self._stopped:
            return
        now = self._clock.seconds()
        if self._lost_at is None:
            self._lost_at = now
        if not self._checkpoint or now - self._lost_at > self._recovery:
            self._guard(self.executor.shutdown)
            self.stop(f"the agent is gone: {reason}")
            return
        self._timers.after(backoff(self._attempt, 0.1, self._longest_wait, 0.5), self._connect)
        self._attempt += 1

    def _data(self, stream: Stream, decoder: Decoder, data: bytes) -> None:
        if stream is not self._stream:
            return
        try:
            events = [codec_json.decode(m.ExecutorEvent, record) for record in decoder.feed(data)]
        except MalformedError as error:
            stream.close()
            self._closed(stream, str(error))
            return
        for event in events:
            self._handle(event)

    def _handle(self, event: m.ExecutorEvent) -> None:
        executor = self.executor
        if event.acknowledged:
            status = self._updates.pop(event.acknowledged.uuid, None)
            if status is not None:
                self._tasks.pop(status.task_id.value, None)
        elif event.launch:
            self._tasks[event.launch.task.task_id.value] = event.launch.task
            self._guard(executor.launch, event.launch.task)
        elif event.launch_group:
            tasks = event.launch_group.task_group.tasks
            self._tasks.update({task.task_id.value: task for task in tasks})
            self._guard(executor.launch_group, tasks)
        elif event.kill:
            self._guard(executor.kill, event.kill.task_id.value)
        elif event.message:
            self._guard(executor.message, event.message.data)
        elif event.subscribed:
            self._guard(executor.subscribed, event.subscribed)
        elif event.type is m.ExecutorEventType.SHUTDOWN:
            maybeDeferred(executor.shutdown, self).addBoth(lambda _: self.stop("shut down"))
        elif event.error:
            self._guard(executor.error, event.error.message)
            self.stop(event.error.message)

    def _guard(self, callback: Callable[..., object], *args: object) -> None:
        maybeDeferred(callback, self, *args).addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("An executor's callback failed", failure)
