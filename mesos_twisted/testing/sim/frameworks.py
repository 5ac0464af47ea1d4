"""Frameworks of a simulated cluster, on the production SDK: good ones and such as one meets.

    good      launches, acknowledges, kills now and then, reconciles
    slow      the same, but takes seconds over each update
    silent    never acknowledges an update
    doubled   opens a second stream under its own id now and then
    flooding  sends many calls at once
    buggy     offers that are not there, tasks twice, nonsense acknowledgements, broken bodies

Every task's id is unique in its world and its command says what its process does (`kernel.py`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.errors import RefusedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.sdk.scheduler import PATH, Master, Scheduler, SchedulerDriver
from mesos_twisted.sdk.values import amount, command_task, framework_info, scalar
from mesos_twisted.testing.sim.ledger import Launch, Ledger

CPUS, MEM_MB = 0.5, 32.0
_CALLS = m.SchedulerCallType


class Manners(enum.Enum):
    """How a framework behaves."""

    GOOD = "good"
    SLOW = "slow"
    SILENT = "silent"
    DOUBLED = "doubled"
    FLOODING = "flooding"
    BUGGY = "buggy"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a framework wants of its life. Times in seconds."""

    name: str
    manners: Manners = Manners.GOOD
    tasks: int = 10
    longest_s: float = 20.0
    act_every_s: float = 3.0
    failover_timeout_s: float = 600.0
    checkpoint: bool = True
    partition_aware: bool = True
    task_killing: bool = True
    roles: tuple[str, ...] = ("*",)


class SimFramework(Scheduler):
    """One framework, which may live several lives of its process under one id.

    `now` is the world's time, for the ledger; everything else happens on the process's reactor.
    """

    def __init__(
        self,
        plan: Plan,
        random: Random,
        ledger: Ledger,
        now: Callable[[], float],
        habits: Random | None = None,
    ) -> None:
        """`habits` is chance for how it goes about what `random` makes it do."""
        self.plan = plan
        self.ledger = ledger
        self.driver: SchedulerDriver | None = None
        self.over: str | None = None
        self.wanted = plan.tasks
        self._random = random
        self._habits = habits or Random(plan.name)
        self._now = now
        self._number = 0
        self._reactor: Any = None
        self._master: Master | None = None
        self._timers: Timers | None = None
        self._id: m.FrameworkID | None = None
        self._live: dict[str, Launch] = {}
        self._quiet = False
        self._older: list[SchedulerDriver] = []

    def start(self, reactor: Any, master: Master) -> None:
        """A life begins, under the id of the last one."""
        self._reactor, self._master = reactor, master
        kinds = m.FrameworkInfoCapabilityType
        info = framework_info(
            self.plan.name,
            "nobody",
            roles=self.plan.roles,
            failover_timeout_s=self.plan.failover_timeout_s,
            checkpoint=self.plan.checkpoint,
            principal=self.plan.name,
            capabilities=(kinds.TASK_KILLING_STATE,) if self.plan.task_killing else (),
        )
        kept = tuple(
            one
            for one in info.capabilities
            if self.plan.partition_aware or one.type is not kinds.PARTITION_AWARE
        )
        info = m.FrameworkInfo(
            **{
                name: getattr(info, name)
                for name in info.__struct_fields__
                if name not in ("id", "capabilities")
            },
            id=self._id,
            capabilities=kept,
        )
        self.driver = SchedulerDriver(reactor, self, info, master, jitter=self._random.random)
        self.driver.session.live = {one: launch.agent_id for one, launch in self._live.items()}
        self.driver.start().addCallback(self._stopped, self.driver)
        if self._timers is not None:
            # A second stream is no second will.
            self._timers.cancel_all()
        self._timers = Timers(reactor)
        self._timers.after(self._random.random() * self.plan.act_every_s, self._act)

    def die(self) -> None:
        """The process was killed; its reactor is the world's affair."""
        self.driver, self._master, self._timers = None, None, None
        self._older.clear()

    def quieten(self) -> None:
        """No new work and no mischief from now on: what is there shall end."""
        self._quiet = True
        self.wanted = 0
        for driver in self._older:
            driver.stop()
        self._older.clear()

    def _stopped(self, reason: str, driver: SchedulerDriver) -> None:
        if driver is not self.driver:
            return
        if "failed over" in reason and self._master is not None and self._timers is not None:
            # An instance of its own took over and is gone again; somebody must go on.
            self._timers.after(1.0, self._go_on)
        else:
            self.over = reason

    def _go_on(self) -> None:
        if self._master is not None:
            self.start(self._reactor, self._master)

    # Scheduler

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> object:
        self._id = m.FrameworkID(value=framework_id)
        return None

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> object:
        if driver is not self.driver:
            return None
        for offer in offers:
            room = int(min(amount(offer.resources, "cpus") / CPUS, self.wanted, 3))
            room = min(room, int(amount(offer.resources, "mem") / MEM_MB))
            if room <= 0:
                refuse_s = self._random.choice((0.5, 2.0, 5.0))
                self._note(driver.decline((offer,), refuse_s))
            elif room > 1 and self._random.random() < 0.2:
                self._launch_group(driver, offer, room)
            else:
                self._launch(driver, offer, room)
        return None

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> object:
        if driver is not self.driver:
            return Deferred()
        launch = self.ledger.told(self.plan.name, status, self._now())
        if launch is not None and is_terminal(status.state):
            self._live.pop(launch.task_id, None)
        elif launch is not None:
            # Also one that was lost with its agent, and is back.
            self._live[launch.task_id] = launch
        if self.plan.manners is Manners.SILENT and not self._quiet:
            return Deferred()
        if self.plan.manners is Manners.SLOW and self._timers is not None:
            done: Deferred[None] = Deferred()
            self._timers.after(self._random.random() * 4.0, done.callback, None)
            done.addCallback(lambda _: self._acknowledging(launch, status))
            return done
        self._acknowledging(launch, status)
        return None

    @staticmethod
    def _acknowledging(launch: Launch | None, status: m.TaskStatus) -> None:
        if launch is not None and status.uuid is not None:
            launch.acked.append(status.uuid)

    # What it does

    def _task(self, offer: m.Offer) -> m.TaskInfo:
        self._number += 1
        task_id = f"{self.plan.name}.{self._number}"
        command = self._command()
        assert offer.agent_id is not None
        launch = self.ledger.launched(
            task_id, self.plan.name, offer.agent_id.value, command, self._now()
        )
        self._live[task_id] = launch
        uris: tuple[str, ...] = ()
        if self._random.random() < 0.15:
            uris = (self._random.choice(("sim:input", "sim:input", "missing:input")),)
        return command_task(
            task_id,
            offer,
            command,
            cpus=CPUS,
            mem_mb=MEM_MB,
            env={"SIM_TASK_ID": task_id},
            uris=uris,
        )

    def _command(self) -> str:
        roll, deaf = self._random.random(), " deaf" if self._random.random() < 0.1 else ""
        if roll < 0.15:
            return "run forever" + deaf
        seconds = round(self._random.random() ** 2 * self.plan.longest_s, 2)
        if roll < 0.75:
            return f"run {seconds} exit 0{deaf}"
        if roll < 0.9:
            return f"run {seconds} exit {self._random.randint(1, 9)}{deaf}"
        return f"run {seconds} signal 11{deaf}"

    def _refusing_s(self) -> float:
        """For how long the rest of an offer is not wanted."""
        return self._habits.choice((1.0, 1.0, 1.0, 30.0))

    def _launch(self, driver: SchedulerDriver, offer: m.Offer, count: int) -> None:
        tasks = [self._task(offer) for _ in range(count)]
        self.wanted -= count
        self._asked(driver.launch(offer, tasks, self._refusing_s()), tasks)
        self._repent(driver, tasks)

    def _launch_group(self, driver: SchedulerDriver, offer: m.Offer, count: int) -> None:
        tasks = [self._task(offer) for _ in range(count - 1)]
        self.wanted -= len(tasks)
        role = offer.allocation_info.role if offer.allocation_info else None
        executor = m.ExecutorInfo(
            type=m.ExecutorInfoType.DEFAULT,
            executor_id=m.ExecutorID(value=f"pod-{tasks[0].task_id.value}"),
            framework_id=self._id,
            resources=(scalar("cpus", 0.1, role), scalar("mem", 32, role), scalar("disk", 1, role)),
        )
        self._asked(driver.launch_group(offer, executor, tasks, self._refusing_s()), tasks)
        self._repent(driver, tasks)
        if tasks and self._timers is not None and self._habits.random() < 0.2:
            # One of a group is all of it, while none runs.
            self._timers.after(self._habits.random(), self._kill_if_live, driver, tasks[0])

    def _repent(self, driver: SchedulerDriver, tasks: list[m.TaskInfo]) -> None:
        """Some launches are taken back before anything can be known of them."""
        if tasks and self._timers is not None and self._random.random() < 0.1:
            for task in tasks:
                self._timers.after(self._random.random() * 0.3, self._kill_if_live, driver, task)

    def _kill_if_live(self, driver: SchedulerDriver, task: m.TaskInfo) -> None:
        if driver is self.driver and task.task_id.value in self._live:
            self._kill(driver, task.task_id.value)

    def _asked(self, answer: Deferred[None], tasks: list[m.TaskInfo]) -> None:
        launches = [self.ledger.launches[task.task_id.value] for task in tasks]

        def taken(_: None) -> None:
            for launch in launches:
                launch.taken = True

        def refused(failure: Failure) -> None:
            failure.trap(RefusedError, UnavailableError)
            for launch in launches:
                launch.taken = False if failure.check(RefusedError) else None

        answer.addCallbacks(taken, refused)

    def _note(self, answer: Deferred[None]) -> None:
        answer.addErrback(lambda failure: failure.trap(RefusedError, UnavailableError) and None)

    def _act(self) -> None:
        driver = self.driver
        if driver is None or self._timers is None or self.over is not None:
            return
        self._timers.after(self._random.random() * 2 * self.plan.act_every_s, self._act)
        if not driver.session.subscribed:
            return
        if not self._quiet and self._random.random() < 0.2:
            # Work comes in all the time, so that launches meet every fault.
            self.wanted += self._random.randint(1, 3)
        roll = self._random.random()
        if self._quiet:
            self._finish_up(driver)
        elif roll < 0.2 and self._live:
            self._kill(driver, self._random.choice(sorted(self._live)))
        elif roll < 0.3:
            self._note(driver.reconcile())
        elif roll < 0.4:
            self._note(driver.revive(*self._some_roles()))
        elif roll < 0.45:
            self._note(driver.suppress(*self._some_roles()))
            if self._habits.random() < 0.2:
                # To make sure.
                self._note(driver.suppress())
            suppressed_s = self._habits.choice((2.0, 2.0, 15.0))
            self._timers.after(suppressed_s, lambda: self._note(driver.revive()))
        elif self.plan.manners is Manners.DOUBLED and roll < 0.6:
            self._double(driver)
        elif self.plan.manners is Manners.FLOODING and roll < 0.8:
            for _ in range(40):
                self._note(driver.reconcile())
        elif self.plan.manners is Manners.BUGGY:
            self._blunder(driver)

    def _some_roles(self) -> tuple[str, ...]:
        """One of several, or none named, which means all."""
        if len(self.plan.roles) < 2 or self._random.random() < 0.3:
            return ()
        return (self._random.choice(self.plan.roles),)

    def _finish_up(self, driver: SchedulerDriver) -> None:
        for task_id in sorted(self._live):
            self._kill(driver, task_id)
        # Tasks that were lost with an agent may run again under a master that never said so.
        self._note(driver.reconcile())
        if self._live:
            self._note(
                driver.reconcile({one: self._live[one].agent_id for one in sorted(self._live)})
            )

    def _kill(self, driver: SchedulerDriver, task_id: str) -> None:
        launch = self._live[task_id]
        if launch.kill_asked is None:
            launch.kill_asked = self._now()
        self._note(driver.kill(task_id, grace_s=1.0))

    def _double(self, driver: SchedulerDriver) -> None:
        """A second stream under the same id while the first is open: the newest wins."""
        assert self._master is not None
        self._older.append(driver)
        self.start(self._reactor, self._master)

    def _blunder(self, driver: SchedulerDriver) -> None:
        nobody = m.AgentID(value="no-such-agent")
        kind = self._random.randrange(6)
        if kind == 0:
            offer = m.OfferID(value=f"no-such-offer-{self._random.randrange(1000)}")
            self._note(driver.accept((offer,), ()))
        elif kind == 1:
            self._note(driver.kill(f"no-such-task-{self._random.randrange(1000)}"))
        elif kind == 2:
            acknowledge = m.SchedulerCallAcknowledge(
                agent_id=nobody, task_id=m.TaskID(value="no-such-task"), uuid=b"\x01" * 16
            )
            self._note(
                driver.post(
                    m.SchedulerCall(
                        type=_CALLS.ACKNOWLEDGE, framework_id=self._id, acknowledge=acknowledge
                    )
                )
            )
        elif kind == 3:
            self._note(driver.send("no-such-agent", "no-such-executor", b"\x00" * 10))
        elif kind == 4 and self._live:
            task_id = self._random.choice(sorted(self._live))
            self._note(driver.reconcile({task_id: "no-such-agent"}))
        else:
            self._broken_body()

    def _broken_body(self) -> None:
        assert self._master is not None
        body = self._random.choice((b"", b"{", b'{"type":"ACCEPT"}', b'{"type":7}', b"\xff" * 50))
        headers = (("Content-Type", "application/json"), ("Accept", "application/json"))
        answer = self._master.request("POST", PATH, headers, body)
        answer.addErrback(lambda failure: failure.trap(UnavailableError) and None)
