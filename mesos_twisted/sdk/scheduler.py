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
from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.errors import MalformedError, RefusedError, UnavailableError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.recordio import Decoder
from mesos_twisted.sdk.calls import Calls
from mesos_twisted.sdk.core.session import Action, Deliver, Post, Reconnect, Session, Stop
from mesos_twisted.sdk.master import Answer, Master, Stream
from mesos_twisted.transport.messages import Headers

__all__ = ["Master", "Scheduler", "SchedulerDriver"]

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


class SchedulerDriver(Calls):
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

    def post(self, call: m.SchedulerCall) -> Deferred[None]:
        """See `Calls`."""
        if self._stream_id is None:
            return _failed(UnavailableError("Not subscribed: the call was not sent"))
        headers = (*self._headers, ("Mesos-Stream-Id", self._stream_id))
        answer = self._master.request("POST", PATH, headers, codec_json.encode(call))
        return answer.addCallback(_check)

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


def _check(answer: Answer) -> None:
    if answer.status not in (200, 202):
        text = answer.body.decode("utf-8", "replace").strip() or f"HTTP status {answer.status}"
        raise (UnavailableError if answer.status >= 500 else RefusedError)(text)


def _failed(error: Exception) -> Deferred[None]:
    deferred: Deferred[None] = Deferred()
    deferred.errback(Failure(error))
    return deferred
