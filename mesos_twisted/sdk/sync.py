"""A plain synchronous face of the SDK: no reactor in sight.

    with Framework(info, masters=["host:5050"], ca="ca.pem", cert="me.pem", key="me-key.pem") as f:
        offer = f.offer(timeout_s=10)
        f.launch(offer, [command_task("hello", offer, "echo hello")])
        for status in f.updates(timeout_s=30):
            ...

Twisted's reactor runs in one background thread for the whole process; every method may be called
from any thread. Updates are acknowledged when they are taken from `updates`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from mesos_twisted.clock import make_steady
from mesos_twisted.errors import RefusedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk.connect import master_client
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.transport.leader import LeaderClient

_lock = threading.Lock()
_thread: threading.Thread | None = None


def _reactor() -> Any:
    """The process's reactor, running in its own thread from the first call on."""
    global _thread
    from twisted.internet import reactor as installed

    # Twisted types the reactor as its narrowest interface.
    reactor: Any = installed
    with _lock:
        if _thread is None:
            # Nobody else runs it, and nothing is scheduled yet.
            make_steady(reactor)
            ready = threading.Event()
            reactor.callWhenRunning(ready.set)
            _thread = threading.Thread(
                target=lambda: reactor.run(installSignalHandlers=False),
                name="mesos-twisted",
                daemon=True,
            )
            _thread.start()
            ready.wait()
    return reactor


def _wait_for(call: Callable[[], Deferred[None]]) -> None:
    blocking: Any = blockingCallFromThread
    blocking(_reactor(), call)


class _Queued(Scheduler):
    """Puts everything into queues; an update's acknowledgement waits until it is taken."""

    def __init__(self) -> None:
        self.subscribed_event = threading.Event()
        self.offers_queue: queue.Queue[m.Offer] = queue.Queue()
        self.updates_queue: queue.Queue[tuple[m.TaskStatus, Deferred[None]]] = queue.Queue()
        self.rescinded_ids: set[str] = set()
        self.refusal: str | None = None

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        self.subscribed_event.set()

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        for offer in offers:
            self.offers_queue.put(offer)

    def rescinded(self, driver: SchedulerDriver, offer_id: str) -> None:
        self.rescinded_ids.add(offer_id)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> Deferred[None]:
        taken: Deferred[None] = Deferred()
        self.updates_queue.put((status, taken))
        return taken

    def error(self, driver: SchedulerDriver, message: str) -> None:
        self.refusal = message
        self.subscribed_event.set()


class Framework:
    """One framework, for synchronous programs. Use it with `with`: leaving tears it down."""

    def __init__(
        self,
        info: m.FrameworkInfo,
        masters: Iterable[str],
        ca: Path | str,
        cert: Path | str | None = None,
        key: Path | str | None = None,
        *,
        zk_tls: bool = False,
    ) -> None:
        """`masters` are host:port each, or one zk://host:port/path (by TLS with `zk_tls`)."""
        self._info, self._files = info, (tuple(masters), ca, cert, key)
        self._zk_tls = zk_tls
        self._client: LeaderClient | None = None
        self._queued = _Queued()
        self._driver: SchedulerDriver | None = None

    def __enter__(self) -> Framework:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(teardown=True)

    @property
    def framework_id(self) -> str | None:
        """The id the master gave."""
        return self._driver.framework_id if self._driver else None

    def start(self, timeout_s: float = 30.0) -> None:
        """Subscribe. Raises UnavailableError after `timeout_s`, RefusedError when refused."""
        reactor = _reactor()
        masters, ca, cert, key = self._files

        def begin() -> None:
            client = master_client(reactor, masters, ca, cert, key, zk_tls=self._zk_tls)
            self._client = client
            self._driver = SchedulerDriver(reactor, self._queued, self._info, client)
            self._driver.start()

        blockingCallFromThread(reactor, begin)
        if not self._queued.subscribed_event.wait(timeout_s):
            self.stop()
            raise UnavailableError(f"No master accepted the framework within {timeout_s:g} s")
        if self._queued.refusal is not None:
            raise RefusedError(self._queued.refusal)

    def stop(self, *, teardown: bool = False) -> None:
        """End the framework, or with teardown=False only leave it to its failover timeout."""
        driver, self._driver = self._driver, None
        if driver is not None:
            _wait_for(lambda: driver.stop(teardown=teardown))
        client, self._client = self._client, None
        if client is not None:
            _wait_for(lambda: Deferred.fromCoroutine(client.close()))

    def offer(self, timeout_s: float = 30.0) -> m.Offer:
        """The next valid offer. Raises UnavailableError after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                offer = self._queued.offers_queue.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise UnavailableError(f"No offer within {timeout_s:g} s") from None
            if offer.id.value not in self._queued.rescinded_ids:
                return offer

    def updates(self, timeout_s: float = 30.0) -> Iterator[m.TaskStatus]:
        """Updates as they come; ends when none has come for `timeout_s`."""
        while True:
            try:
                status, taken = self._queued.updates_queue.get(timeout=timeout_s)
            except queue.Empty:
                return
            yield status
            _reactor().callFromThread(taken.callback, None)

    def launch(self, offer: m.Offer, tasks: Iterable[m.TaskInfo]) -> None:
        """Launch tasks on an offer. Raises RefusedError or UnavailableError."""
        wanted = list(tasks)
        self._do(lambda driver: driver.launch(offer, wanted))

    def decline(self, offers: Iterable[m.Offer], refuse_s: float | None = None) -> None:
        """Give offers back."""
        unwanted = list(offers)
        self._do(lambda driver: driver.decline(unwanted, refuse_s))

    def kill(self, task_id: str) -> None:
        """End a task."""
        self._do(lambda driver: driver.kill(task_id))

    def revive(self) -> None:
        """Want offers again."""
        self._do(lambda driver: driver.revive())

    def suppress(self) -> None:
        """Want no more offers."""
        self._do(lambda driver: driver.suppress())

    def reconcile(self) -> None:
        """Ask for the state of every task."""
        self._do(lambda driver: driver.reconcile())

    def _do(self, call: Callable[[SchedulerDriver], Deferred[None]]) -> None:
        driver = self._driver
        if driver is None:
            raise UnavailableError("The framework is not started")
        _wait_for(lambda: call(driver))
