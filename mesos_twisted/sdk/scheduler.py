"""A scheduler on Twisted: the author's callbacks, and the driver that keeps it subscribed.

    class Mine(Scheduler):
        def offers(self, driver, offers): ...
        def update(self, driver, status): ...

    driver = SchedulerDriver(reactor, Mine(), info, leader_client)
    driver.start()          # a Deferred: fires when the driver has stopped

An update is acknowledged when the author's callback returns, or when the Deferred it returned
fires; a callback that raises leaves the update unacknowledged, so it comes again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.errors import MalformedError, RefusedError, UnavailableError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.recordio import Decoder
from mesos_twisted.sdk.core.session import Action, Deliver, Post, Reconnect, Session, Stop
from mesos_twisted.transport.messages import Headers

PATH = "/api/v1/scheduler"
MAX_EVENT_BYTES = 256 << 20
TICK_S = 5.0


class Scheduler:
    """What a framework author overrides. Every method may return a Deferred or nothing."""

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> object:
        """The master accepted the framework (also after each reconnect)."""

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> object:
        """Resources to accept or decline; offers not answered stay with the framework."""

    def rescinded(self, driver: SchedulerDriver, offer_id: str) -> object:
        """An offer is no longer valid."""

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> object:
        """A task's state; may come more than once."""

    def message(
        self, driver: SchedulerDriver, agent_id: str, executor_id: str, data: bytes
    ) -> object:
        """Bytes from an executor, at most once."""

    def failure(self, driver: SchedulerDriver, failure: m.SchedulerEventFailure) -> object:
        """An agent was lost, or an executor ended."""

    def disconnected(self, driver: SchedulerDriver, reason: str) -> object:
        """The stream broke; the driver subscribes again by itself."""

    def error(self, driver: SchedulerDriver, message: str) -> object:
        """The master refused the framework for good; the driver stops."""


class Stream(Protocol):
    """An open answer, as transport.client gives it."""

    status: int
    headers: dict[str, str]

    def on_data(self, callback: Callable[[bytes], object], /) -> None: ...
    def on_closed(self, callback: Callable[[str], object], /) -> None: ...
    def close(self) -> None: ...


class Answer(Protocol):
    """A whole answer."""

    status: int
    body: bytes


class Master(Protocol):
    """The leading master: transport.leader.LeaderClient, or a fake of it."""

    def request(self, method: str, path: str, headers: Headers, body: bytes, /) -> Deferred[Any]:
        """Fires with an Answer (Deferred is invariant, hence Any)."""
        ...

    def open_stream(
        self, method: str, path: str, headers: Headers, body: bytes, /
    ) -> Deferred[Any]:
        """Fires with a Stream at the answer's head."""
        ...


class SchedulerDriver:
    """Keeps one framework subscribed and carries its calls. Not thread-safe: see sdk.sync."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        scheduler: Scheduler,
        framework: m.FrameworkInfo,
        master: Master,
        *,
        headers: Headers = (),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.scheduler = scheduler
        self.session = Session(framework)
        self._clock, self._timers = reactor, Timers(reactor)
        self._master, self._jitter = master, jitter
        self._headers: Headers = (
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            *headers,
        )
        self._stream: Stream | None = None
        self._stream_id: str | None = None
        self._decoder = Decoder(MAX_EVENT_BYTES)
        self._done: Deferred[str] = Deferred()
        self._stopped = False

    @property
    def framework_id(self) -> str | None:
        """The id the master gave, or None before the first subscription."""
        return self.session.framework_id

    def start(self) -> Deferred[str]:
        """Subscribe, and stay subscribed. Fires with the reason when the driver has stopped."""
        self._timers.every(TICK_S, self._tick)
        self._connect()
        return self._done

    def stop(self, *, teardown: bool = False) -> Deferred[None]:
        """End the framework (`teardown`) or only this connection to it; fires when done."""
        done: Deferred[None] = Deferred()
        if teardown and self.session.subscribed:
            call = self._call(m.SchedulerCallType.TEARDOWN)
            self.post(call).addBoth(lambda _: self._finish("torn down")).chainDeferred(done)
        else:
            self._finish("stopped")
            done.callback(None)
        return done

    # -- calls ---------------------------------------------------------------------------------

    def accept(
        self,
        offer_ids: Iterable[m.OfferID],
        operations: Iterable[m.OfferOperation],
        refuse_s: float | None = None,
    ) -> Deferred[None]:
        """Use offers of one agent for these operations, in order."""
        done = tuple(operations)
        for operation in done:
            self._note_launched(operation)
        return self.post(
            self._call(
                m.SchedulerCallType.ACCEPT,
                accept=m.SchedulerCallAccept(
                    offer_ids=tuple(offer_ids), operations=done, filters=_filters(refuse_s)
                ),
            )
        )

    def launch(
        self, offer: m.Offer, tasks: Iterable[m.TaskInfo], refuse_s: float | None = None
    ) -> Deferred[None]:
        """Launch tasks on an offer; what they leave of it goes back."""
        operation = m.OfferOperation(
            type=m.OfferOperationType.LAUNCH,
            launch=m.OfferOperationLaunch(task_infos=tuple(tasks)),
        )
        return self.accept((offer.id,), (operation,), refuse_s)

    def launch_group(
        self,
        offer: m.Offer,
        executor: m.ExecutorInfo,
        tasks: Iterable[m.TaskInfo],
        refuse_s: float | None = None,
    ) -> Deferred[None]:
        """Launch a task group: all of it or none."""
        operation = m.OfferOperation(
            type=m.OfferOperationType.LAUNCH_GROUP,
            launch_group=m.OfferOperationLaunchGroup(
                executor=executor, task_group=m.TaskGroupInfo(tasks=tuple(tasks))
            ),
        )
        return self.accept((offer.id,), (operation,), refuse_s)

    def decline(self, offers: Iterable[m.Offer], refuse_s: float | None = None) -> Deferred[None]:
        """Give offers back, and not see the like for `refuse_s` (5 s unless told)."""
        return self.post(
            self._call(
                m.SchedulerCallType.DECLINE,
                decline=m.SchedulerCallDecline(
                    offer_ids=tuple(offer.id for offer in offers), filters=_filters(refuse_s)
                ),
            )
        )

    def revive(self, *roles: str) -> Deferred[None]:
        """Want offers (again) for these roles, or all; filters are dropped."""
        self.session.suppressed -= frozenset(roles) if roles else self.session.suppressed
        return self.post(
            self._call(m.SchedulerCallType.REVIVE, revive=m.SchedulerCallRevive(roles=roles))
        )

    def suppress(self, *roles: str) -> Deferred[None]:
        """Want no more offers for these roles, or all."""
        every = self.session.framework.roles or (self.session.framework.role or "*",)
        self.session.suppressed |= frozenset(roles or every)
        return self.post(
            self._call(m.SchedulerCallType.SUPPRESS, suppress=m.SchedulerCallSuppress(roles=roles))
        )

    def kill(
        self, task_id: str, agent_id: str | None = None, grace_s: float | None = None
    ) -> Deferred[None]:
        """End a task; `grace_s` overrides its own kill policy."""
        policy = None
        if grace_s is not None:
            policy = m.KillPolicy(grace_period=m.DurationInfo(nanoseconds=int(grace_s * 1e9)))
        return self.post(
            self._call(
                m.SchedulerCallType.KILL,
                kill=m.SchedulerCallKill(
                    task_id=m.TaskID(value=task_id),
                    agent_id=m.AgentID(value=agent_id) if agent_id else None,
                    kill_policy=policy,
                ),
            )
        )

    def send(self, agent_id: str, executor_id: str, data: bytes) -> Deferred[None]:
        """Bytes to an executor, at most once."""
        return self.post(
            self._call(
                m.SchedulerCallType.MESSAGE,
                message=m.SchedulerCallMessage(
                    agent_id=m.AgentID(value=agent_id),
                    executor_id=m.ExecutorID(value=executor_id),
                    data=data,
                ),
            )
        )

    def shutdown_executor(self, agent_id: str, executor_id: str) -> Deferred[None]:
        """Ask a custom executor to end; it is forced after its grace period."""
        return self.post(
            self._call(
                m.SchedulerCallType.SHUTDOWN,
                shutdown=m.SchedulerCallShutdown(
                    agent_id=m.AgentID(value=agent_id),
                    executor_id=m.ExecutorID(value=executor_id),
                ),
            )
        )

    def reconcile(self, tasks: Mapping[str, str] | None = None) -> Deferred[None]:
        """Ask for the state of tasks (id to agent id or ""), or of all: answers are updates."""
        return self.post(self.session.reconcile(dict(tasks or {})))

    def post(self, call: m.SchedulerCall) -> Deferred[None]:
        """Send any call. Fails with RefusedError (the master's sentence) or UnavailableError."""
        if self._stream_id is None:
            return _failed(UnavailableError("Not subscribed: the call was not sent"))
        headers = (*self._headers, ("Mesos-Stream-Id", self._stream_id))
        answer = self._master.request("POST", PATH, headers, codec_json.encode(call))
        return answer.addCallback(_check)

    def _call(self, kind: m.SchedulerCallType, **fields: object) -> m.SchedulerCall:
        framework_id = self.session.framework.id
        return m.SchedulerCall(type=kind, framework_id=framework_id, **fields)  # type: ignore[arg-type]  # the one keyword is the call's own field

    def _note_launched(self, operation: m.OfferOperation) -> None:
        tasks: tuple[m.TaskInfo, ...] = ()
        if operation.launch:
            tasks = operation.launch.task_infos
        elif operation.launch_group:
            tasks = operation.launch_group.task_group.tasks
        self.session.launched({t.task_id.value: t.agent_id.value for t in tasks})

    # -- the stream ----------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._stopped:
            return
        call = codec_json.encode(self.session.subscribe(self._clock.seconds()))
        opened = self._master.open_stream("POST", PATH, self._headers, call)
        opened.addCallbacks(self._opened, self._not_opened).addErrback(self._broken)

    def _opened(self, stream: Stream) -> None:
        if self._stopped:
            stream.close()
            return
        if stream.status != 200:
            self._refused(stream)
            return
        self._decoder = Decoder(MAX_EVENT_BYTES)
        self._stream = stream
        self._stream_id = stream.headers.get("mesos-stream-id", "")
        stream.on_closed(lambda reason: self._closed(stream, reason))
        stream.on_data(lambda data: self._data(stream, data))

    def _refused(self, stream: Stream) -> None:
        body: list[bytes] = []
        final = stream.status in (400, 401, 403)

        def closed(_: str) -> None:
            text = b"".join(body).decode("utf-8", "replace") or f"HTTP status {stream.status}"
            if final:
                self._perform(Stop(text))
            else:
                self._again(text)

        stream.on_closed(closed)
        stream.on_data(body.append)

    def _not_opened(self, failure: Failure) -> None:
        failure.trap(UnavailableError, MalformedError)
        self._again(failure.getErrorMessage())

    def _data(self, stream: Stream, data: bytes) -> None:
        if stream is not self._stream:
            return
        try:
            events = [
                codec_json.decode(m.SchedulerEvent, record) for record in self._decoder.feed(data)
            ]
        except MalformedError as error:
            self._closed(stream, str(error))
            stream.close()
            return
        now = self._clock.seconds()
        for event in events:
            for action in self.session.received(event, now):
                self._perform(action)

    def _closed(self, stream: Stream, reason: str) -> None:
        if stream is self._stream:
            self._stream = self._stream_id = None
            self._guard(self.scheduler.disconnected, reason)
            self._again(reason)

    def _again(self, reason: str) -> None:
        if not self._stopped:
            for action in self.session.closed(reason, self._jitter()):
                self._perform(action)

    def _tick(self) -> None:
        stream = self._stream
        if stream is not None and self.session.silent(self._clock.seconds()):
            self._closed(stream, "no heartbeat from the master")
            stream.close()

    def _perform(self, action: Action) -> None:
        if isinstance(action, Deliver):
            self._deliver(action.event)
        elif isinstance(action, Post):
            self.post(action.call).addErrback(self._not_sent)
        elif isinstance(action, Reconnect):
            self._log.info(
                "Subscribing again in {after_s:.1f} s: {reason}",
                after_s=action.after_s,
                reason=action.reason,
            )
            self._timers.after(action.after_s, self._connect)
        else:
            self._guard(self.scheduler.error, action.reason)
            self._finish(action.reason)

    def _deliver(self, event: m.SchedulerEvent) -> None:
        scheduler = self.scheduler
        if event.offers:
            self._guard(scheduler.offers, event.offers.offers)
        elif event.update:
            self._deliver_update(event.update.status)
        elif event.subscribed:
            self._guard(scheduler.subscribed, event.subscribed.framework_id.value)
        elif event.rescind:
            self._guard(scheduler.rescinded, event.rescind.offer_id.value)
        elif event.message:
            said = event.message
            self._guard(scheduler.message, said.agent_id.value, said.executor_id.value, said.data)
        elif event.failure:
            self._guard(scheduler.failure, event.failure)

    def _deliver_update(self, status: m.TaskStatus) -> None:
        def handled(_: object) -> None:
            call = self.session.acknowledge(status)
            if call is not None and not self._stopped:
                self.post(call).addErrback(self._not_sent)

        maybeDeferred(self.scheduler.update, self, status).addCallbacks(handled, self._broken)

    def _guard(self, callback: Callable[..., object], *args: object) -> None:
        maybeDeferred(callback, self, *args).addErrback(self._broken)

    def _not_sent(self, failure: Failure) -> None:
        failure.trap(UnavailableError, RefusedError)
        self._log.warn("A call was not sent: {reason}", reason=failure.getErrorMessage())

    def _broken(self, failure: Failure) -> None:
        self._log.failure("A scheduler's callback failed", failure)

    def _finish(self, reason: str) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._timers.cancel_all()
        stream, self._stream, self._stream_id = self._stream, None, None
        if stream is not None:
            stream.close()
        self._done.callback(reason)


def _filters(refuse_s: float | None) -> m.Filters | None:
    return None if refuse_s is None else m.Filters(refuse_seconds=refuse_s)


def _check(answer: Answer) -> None:
    if answer.status not in (200, 202):
        text = answer.body.decode("utf-8", "replace").strip() or f"HTTP status {answer.status}"
        raise (UnavailableError if answer.status >= 500 else RefusedError)(text)


def _failed(error: Exception) -> Deferred[None]:
    deferred: Deferred[None] = Deferred()
    deferred.errback(Failure(error))
    return deferred
