"""An agent's process: flags to a running service, signals, and the exit status.

SIGTERM and SIGINT stop the agent and leave its tasks running; SIGHUP reads the certificates again;
SIGUSR1 ends the agent for good, with every task.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.net import setup
from mesos_twisted.agent.net.service import AgentService
from mesos_twisted.clock import Timer, Timers, make_steady
from mesos_twisted.descriptors import raise_limit
from mesos_twisted.errors import MesosError
from mesos_twisted.logs import Logging
from mesos_twisted.systemd import LoopWatch, Notifier

_log = Logger()


def check(config: AgentConfig) -> bool:
    """True when an agent could start with these settings; raises MesosError otherwise."""
    return setup.check(config)


def run(config: AgentConfig, reactor: Any = None) -> int:
    """Run an agent until it is stopped; its exit status. Raises MesosError for bad settings."""
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = installed
        make_steady(reactor)
    logging = Logging(sys.stderr, config.log_format, config.logging_level)
    logging.begin()
    process = AgentProcess(config, reactor, logging)
    # Executors, readers and checks hold connections. The launcher, made by now, keeps the limit of
    # before for the tasks.
    raise_limit()
    return process.run()


class AgentProcess:
    """One process around one service."""

    def __init__(self, config: AgentConfig, reactor: Any, logging: Logging) -> None:
        self._config = config
        self._reactor = reactor
        self._logging = logging
        self._timers = Timers(reactor)
        self._notifier = Notifier(os.environ)
        self._exit_code = 0
        self._stopping = False
        self._level_back: Timer | None = None
        self._service = AgentService(config, reactor, time.time, self._ended, self._set_level)

    def run(self) -> int:
        """Until the reactor stops."""
        reactor = self._reactor
        reactor.callWhenRunning(self._start)
        reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        reactor.run()
        return self._exit_code

    def _start(self) -> None:
        # Here, not before: the reactor has set its own handlers by now.
        signal.signal(signal.SIGHUP, self._asked(self._reload))
        signal.signal(signal.SIGUSR1, self._asked(self._service.shut_down))
        self._watch = LoopWatch(
            self._timers,
            self._notifier,
            self._config.max_loop_lag,
            standing=self._service.standing,
        )
        Deferred.fromCoroutine(self._service.start()).addCallbacks(self._started, self._not_started)

    def _asked(self, what: Any) -> Any:
        def handler(number: int, frame: object) -> None:
            self._reactor.callFromThread(what)

        return handler

    def _started(self, result: object) -> None:
        # What recovery made lives as long as the process: never look at it again.
        gc.collect()
        gc.freeze()
        self._notifier.ready(self._service.standing().status)
        _log.info("Agent listening on {ip}:{port}", ip=self._config.ip, port=self._service.port)

    def _not_started(self, failure: Failure) -> None:
        if failure.check(MesosError):
            print(f"mesos-twisted agent: {failure.getErrorMessage()}", file=sys.stderr)
        else:
            _log.failure("The agent could not start", failure)
        self._ended(1, failure.getErrorMessage())

    def _ended(self, exit_code: int, message: str) -> None:
        self._exit_code = exit_code
        if message:
            _log.info("The agent leaves: {reason}", reason=message)
        if self._reactor.running and not self._stopping:
            self._reactor.stop()

    def _stop(self) -> Deferred[None]:
        self._stopping = True
        self._notifier.stopping()
        self._timers.cancel_all()
        return Deferred.fromCoroutine(self._service.stop())

    def _reload(self) -> None:
        self._notifier.reloading(time.monotonic())
        problem = self._service.reload()
        status = self._service.standing().status
        self._notifier.ready(status if problem is None else problem.sentence)

    def _set_level(self, level: int, seconds: float) -> None:
        if self._level_back is not None:
            self._level_back.cancel()
        self._logging.set_level("DEBUG" if level else self._config.logging_level)
        self._level_back = self._timers.after(
            seconds, self._logging.set_level, self._config.logging_level
        )
