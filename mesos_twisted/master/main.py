"""The master's process: signals, systemd, the one reactor, and what it exits with."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import Any

from twisted.logger import Logger

from mesos_twisted.clock import Timers, make_steady
from mesos_twisted.collector import Collector
from mesos_twisted.descriptors import raise_limit
from mesos_twisted.errors import MesosError
from mesos_twisted.logs import Logging
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net import coordination, setup
from mesos_twisted.master.net.service import MasterService, registry_path
from mesos_twisted.registry.interfaces import Registry
from mesos_twisted.registry.sqlite import SqliteRegistry, ThreadWorker
from mesos_twisted.systemd import LoopWatch, Notifier
from mesos_twisted.transport import reactor as fair

_log = Logger()
_chance = random.SystemRandom().random
#: Seconds between looks at how late the reactor is: a thousand of them, kept, are 100 seconds.
LAG_EVERY_S = 0.1


def check(config: MasterConfig) -> bool:
    """True when a master could start with these settings; raises MesosError otherwise."""
    return setup.check(config)


def run(config: MasterConfig) -> int:
    """Serve until told to stop; the process's exit status."""
    fair.install()
    from twisted.internet import reactor

    make_steady(reactor)
    # Each agent and each framework holds a connection; the master starts no other process.
    raise_limit()
    logging = Logging(sys.stderr, config.log_format, config.logging_level)
    logging.begin()
    return _Process(config, reactor, logging).run()


class _Process:
    """One run of the reactor."""

    def __init__(self, config: MasterConfig, reactor: Any, logging: Logging) -> None:
        self._reactor = reactor
        self._status = 0
        self._ending = False
        self._frozen = False
        self._notifier = Notifier(os.environ)
        self._timers = Timers(reactor)
        contexts = setup.contexts(config)
        elector, registry = coordination.parts(config, reactor, contexts, _chance, _embedded)
        self._service = MasterService(
            config,
            reactor,
            registry,
            elector,
            logging,
            time.time,
            os.urandom(32),
            self.end,
            contexts,
        )
        self._service.driver.ports.logs = logging.writes
        metrics = self._service.metrics
        lag, pause = (metrics.timing(f"master/{n}_ms") for n in ("event_loop_lag", "gc_pause"))
        self._watch = LoopWatch(
            self._timers,
            self._notifier,
            config.max_loop_lag,
            LAG_EVERY_S,
            lag.record,
            self._service.standing,
        )
        metrics.gauge("master/event_loop_lag_secs", lambda: self._watch.lag_s)
        self._collector = Collector(time.perf_counter, pause.record)

    def run(self) -> int:
        reactor = self._reactor
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._asked_to_stop)
        signal.signal(signal.SIGHUP, self._asked_to_reload)
        self._collector.start()
        reactor.callWhenRunning(self._begin)
        reactor.run(installSignalHandlers=False)
        return self._status

    def end(self, exit_code: int, sentence: str) -> None:
        """Stop everything, then the reactor."""
        if self._ending:
            return
        self._ending = True
        self._status = exit_code
        if sentence:
            report = _log.error if exit_code else _log.info
            report("Stopping: {sentence}", sentence=sentence)
        self._notifier.stopping()
        # Who cannot end is not kept alive either.
        self._watch.stop()
        # Not from within the event that asked for it.
        self._timers.after(0, self._stop_service)

    def _begin(self) -> None:
        try:
            self._service.start(self._serving)
        except MesosError as error:
            self.end(1, f"the master cannot start: {error}")
        except Exception:
            # A bug: nothing is served, and the log has all there is to know.
            _log.failure("The master cannot start")
            self.end(70, "the master cannot start")

    def _serving(self) -> None:
        if not self._frozen:
            self._frozen = True
            self._collector.settle()
        self._notifier.ready(self._service.standing().status)

    def _stop_service(self) -> None:
        stopped = self._service.stop()
        stopped.addErrback(lambda failure: _log.failure("Stopping failed", failure))
        stopped.addBoth(lambda _: self._stop_reactor())

    def _stop_reactor(self) -> None:
        self._timers.cancel_all()
        if self._reactor.running:
            self._reactor.stop()

    def _asked_to_stop(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.end, 0, f"signal {signal.Signals(number).name}")

    def _asked_to_reload(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        self._notifier.reloading(time.monotonic())
        self._service.reload()
        self._serving()


def _embedded(config: MasterConfig, reactor: Any) -> Registry:
    return SqliteRegistry(registry_path(config), ThreadWorker(reactor))
