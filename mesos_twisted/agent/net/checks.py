"""Runs a task's checks for as long as the core wants them, each run reported as CheckReported.

COMMAND runs in the task's sandbox with its user and environment, as a container of its own that is
destroyed at its timeout. HTTP(S) asks 127.0.0.1 for a status from 200 to 399; TCP connects to it.
What a failure means (grace, consecutive failures) is the core's affair.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core import words
from mesos_twisted.agent.core.environment import argv, program, variables
from mesos_twisted.agent.net.checks_http import Probes
from mesos_twisted.clock import Timer, Timers
from mesos_twisted.containerizer.core import container as cz
from mesos_twisted.containerizer.interfaces import IContainerizer
from mesos_twisted.errors import MesosError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: `passed` None when it could not be decided; the rest is for general checks."""

    passed: bool | None
    message: str
    exit_code: int | None = None
    http_status: int | None = None
    connected: bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A health check or a general check in one shape. Times in seconds."""

    kind: str
    delay_s: float
    interval_s: float
    timeout_s: float
    command: m.CommandInfo | None = None
    url: str | None = None
    port: int | None = None
    statuses: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Run:
    """The checks of one container."""

    effect: fx.StartChecks
    count: int = 0
    timers: list[Timer] = field(default_factory=list)
    current: dict[str, cz.ContainerId] = field(default_factory=dict)
    stopped: bool = False


class CheckRunner:
    """`start` and `stop` are the driver's port."""

    log = Logger()

    def __init__(
        self,
        work_dir: str,
        containerizer: IContainerizer,
        probes: Probes,
        timers: Timers,
        *,
        handle: Callable[[ev.Event], None],
        now: Callable[[], float],
    ) -> None:
        self._work_dir = work_dir
        self._containerizer = containerizer
        self._probes = probes
        self._timers = timers
        self._handle = handle
        self._now = now
        self._runs: dict[ContainerId, _Run] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def start(self, effect: fx.StartChecks) -> None:
        """The checks run until they are stopped; started again they begin anew."""
        self._end(effect.container_id)
        run = self._runs[effect.container_id] = _Run(effect)
        for plan in plans(effect):
            self._again(run, plan, plan.delay_s)

    def stop(self, effect: fx.StopChecks) -> None:
        """No more checks of this container."""
        self._end(effect.container_id)

    def stop_all(self) -> None:
        """No more checks at all."""
        for container_id in tuple(self._runs):
            self._end(container_id)

    def _end(self, container_id: ContainerId) -> None:
        run = self._runs.pop(container_id, None)
        if run is None:
            return
        run.stopped = True
        for timer in run.timers:
            timer.cancel()
        for current in tuple(run.current.values()):
            self._spawn(self._remove(current))

    def _spawn(self, work: Any) -> None:
        Deferred.fromCoroutine(work).addErrback(
            lambda failure: self.log.failure("A check could not be run", failure)
        )

    def _again(self, run: _Run, plan: Plan, after_s: float) -> None:
        run.timers = [timer for timer in run.timers if timer.active]
        run.timers.append(self._timers.after(after_s, lambda: self._spawn(self._once(run, plan))))

    async def _once(self, run: _Run, plan: Plan) -> None:
        outcome = await self._outcome(run, plan)
        if run.stopped:
            return
        effect = run.effect
        shown = None if plan.kind == "health" else to_status(effect.check, outcome)
        self._handle(
            ev.CheckReported(
                effect.framework_id,
                effect.task_id,
                effect.container_id,
                plan.kind,
                outcome.passed,
                outcome.message,
                self._now(),
                shown,
            )
        )
        if not run.stopped:
            self._again(run, plan, plan.interval_s)

    async def _outcome(self, run: _Run, plan: Plan) -> Outcome:
        try:
            if plan.command is not None:
                return await self._command(run, plan, plan.command)
            if plan.url is not None:
                status = await self._probes.http_status(plan.url, plan.timeout_s)
                good = status in plan.statuses or (not plan.statuses and 200 <= status <= 399)
                return Outcome(good, f"{plan.url} answered {status}", http_status=status)
            assert plan.port is not None
            connected = await self._probes.tcp(_LOOPBACK, plan.port, plan.timeout_s)
            words = "accepts" if connected else "does not accept"
            return Outcome(connected, f"Port {plan.port} {words} connections", connected=connected)
        except MesosError as error:
            return Outcome(None, str(error))

    async def _command(self, run: _Run, plan: Plan, command: m.CommandInfo) -> Outcome:
        effect = run.effect
        run.count += 1
        container_id = cz.ContainerId(f"{effect.container_id}.{plan.kind}-{run.count}")
        env = effect.env + variables(command.environment)
        config = cz.ContainerConfig(
            argv=argv(command),
            file=program(command),
            env=env,
            cwd=os.path.join(self._work_dir, effect.directory),
            user=effect.user,
        )
        run.current[plan.kind] = container_id
        late = False

        def expire() -> None:
            nonlocal late
            late = True
            self._spawn(self._remove(container_id))

        timer = self._timers.after(plan.timeout_s, expire) if plan.timeout_s > 0 else None
        try:
            outcome = await self._containerizer.launch(container_id, config)
            if not outcome.running:
                return Outcome(None, f"Command not started: {outcome.problem}")
            ended = await self._containerizer.wait(container_id)
        finally:
            if timer is not None:
                timer.cancel()
            run.current.pop(plan.kind, None)
            await self._remove(container_id)
        if late:
            return Outcome(None, f"Command timed out after {plan.timeout_s:g} s")
        status = None if ended is None else ended.status
        if status is None:
            return Outcome(None, "Nobody saw how the command ended")
        code = os.waitstatus_to_exitcode(status)
        message = f"Command {words.wait_words(status)}"
        return Outcome(code == 0, message, exit_code=code if code >= 0 else None)

    async def _remove(self, container_id: cz.ContainerId) -> None:
        try:
            await self._containerizer.destroy(container_id)
            await self._containerizer.forget(container_id)
        except MesosError as error:
            # The next start of the agent destroys what nobody knows.
            self.log.info("A check's container stays for now: {reason}", reason=str(error))


def plans(effect: fx.StartChecks) -> list[Plan]:
    """What is to be run of an effect."""
    found: list[Plan] = []
    if effect.health_check is not None:
        plan = _health_plan(effect.health_check)
        if plan is not None:
            found.append(plan)
    if effect.check is not None:
        plan = _check_plan(effect.check)
        if plan is not None:
            found.append(plan)
    return found


def _health_plan(check: m.HealthCheck) -> Plan | None:
    times = (check.delay_seconds, check.interval_seconds, check.timeout_seconds)
    if check.http is not None:
        statuses = frozenset(check.http.statuses)
        url = _url(check.http.scheme or "http", check.http.port, check.http.path)
        return Plan("health", *times, url=url, statuses=statuses)
    if check.tcp is not None:
        return Plan("health", *times, port=check.tcp.port)
    if check.command is not None:
        return Plan("health", *times, command=check.command)
    return None


def _check_plan(check: m.CheckInfo) -> Plan | None:
    times = (check.delay_seconds, check.interval_seconds, check.timeout_seconds)
    if check.http is not None:
        return Plan("check", *times, url=_url("http", check.http.port, check.http.path))
    if check.tcp is not None:
        return Plan("check", *times, port=check.tcp.port)
    if check.command is not None:
        return Plan("check", *times, command=check.command.command)
    return None


def _url(scheme: str, port: int, path: str | None) -> str:
    path = path or ""
    return f"{scheme}://{_LOOPBACK}:{port}{path if path.startswith('/') else '/' + path}"


def to_status(check: m.CheckInfo | None, outcome: Outcome) -> m.CheckStatusInfo | None:
    """What a general check shows; the details stay empty when it could not be decided."""
    if check is None:
        return None
    if check.type is m.CheckInfoType.COMMAND:
        command = m.CheckStatusInfoCommand(exit_code=outcome.exit_code)
        return m.CheckStatusInfo(type=check.type, command=command)
    if check.type is m.CheckInfoType.HTTP:
        http = m.CheckStatusInfoHttp(status_code=outcome.http_status)
        return m.CheckStatusInfo(type=check.type, http=http)
    tcp = m.CheckStatusInfoTcp(succeeded=outcome.connected)
    return m.CheckStatusInfo(type=check.type, tcp=tcp)
