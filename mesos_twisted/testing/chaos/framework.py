"""A framework that survives its own end: what it does and hears is in a ledger before it counts.

A line of `DIR/NAME.ledger` is a JSON object, flushed to disk: who it is, each task before it is
launched, each update before it is acknowledged. Started again, it is the same framework and knows
its tasks. Each task writes its process id and what it is about to end with into `DIR/truth/TASK`,
so what the cluster tells can be compared with what was. A file `DIR/finish` ends the launching.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mesos_twisted.errors import RefusedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.sdk import Scheduler, SchedulerDriver, amount, command_task

TICK_S = 1.0
ASK_AFTER_S = 5.0
KILL_AFTER_S = 2.0
#: One that is to be killed outlives every run: if it was not, it is found.
NEVER_S = 86400.0
IN_FLIGHT = 10
CPUS, MEM = 0.05, 8
#: Kind of task to what it does after its sleep; {} is the file of its truth.
RESTS = {
    "zero": "echo end 0 >>{0}; exit 0",
    "seven": "echo end 7 >>{0}; exit 7",
    "shot": "echo end -9 >>{0}; kill -KILL $$",
    "killed": "echo end 0 >>{0}; exit 0",
}


def script(kind: str, sleep_s: float, truth: Path) -> str:
    """The command of a task."""
    begin = f"echo start $$ $(cut -d' ' -f22 /proc/$$/stat) >>{truth}"
    return f"{begin}; sleep {sleep_s:.1f}; {RESTS[kind].format(truth)}"


class Ledger:
    """The file. Of an hour it is large: what was in it is read, and not kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **record: Any) -> None:
        """On disk when this returns."""
        os.write(self._file, json.dumps({**record, "at": time.time()}).encode() + b"\n")
        os.fsync(self._file)


def read(path: Path) -> list[dict[str, Any]]:
    """Every whole record of a ledger."""
    return list(replay(path))


def replay(path: Path) -> Iterator[dict[str, Any]]:
    """The same, one at a time."""
    if path.exists():
        with open(path, "rb") as ledger:
            for line in ledger:
                if line.endswith(b"\n"):
                    yield json.loads(line)


class Chaotic(Scheduler):
    """Launches short tasks of all kinds, and asks after those it does not hear of."""

    def __init__(self, directory: Path, name: str, ledger: Ledger, chance: Random) -> None:
        self.directory, self.name = directory, name
        self.ledger, self.chance = ledger, chance
        self.numbers = itertools.count()
        self.framework_id: str | None = None
        #: Tasks not known to have ended: agent, kind, when launched.
        self.live: dict[str, tuple[str, str, float]] = {}
        self.running: set[str] = set()
        for record in replay(ledger.path):
            self._replay(record)

    def _replay(self, record: dict[str, Any]) -> None:
        if record["what"] == "subscribed":
            self.framework_id = record["framework"]
        elif record["what"] == "launch":
            next(self.numbers)
            self.live[record["task"]] = (record["agent"], record["kind"], record["at"])
        elif record["what"] == "update" and is_terminal(m.TaskState(record["state"])):
            self.live.pop(record["task"], None)

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        self.ledger.write(what="subscribed", framework=framework_id)

    def know(self, driver: SchedulerDriver) -> None:
        """The driver asks after the tasks of former lives."""
        driver.session.launched({task: agent for task, (agent, *_) in self.live.items()})

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        for offer in offers:
            fits = min(
                amount(offer.resources, "cpus") // CPUS, amount(offer.resources, "mem") // MEM
            )
            wanted = 0 if self.finishing else min(4, IN_FLIGHT - len(self.live), int(fits))
            tasks = [self._task(offer) for _ in range(max(0, wanted))]
            if tasks:
                _sent(driver.launch(offer, tasks, 1.0))
            else:
                _sent(driver.decline([offer], 1.0))

    @property
    def finishing(self) -> bool:
        return (self.directory / "finish").exists()

    def _task(self, offer: m.Offer) -> m.TaskInfo:
        task = f"{self.name}-{next(self.numbers)}"
        kind = self.chance.choice(list(RESTS))
        sleep_s = NEVER_S if kind == "killed" else self.chance.choice((0.0, 0.5, 2.0, 8.0))
        agent = offer.agent_id.value
        self.ledger.write(what="launch", task=task, agent=agent, kind=kind)
        self.live[task] = (agent, kind, time.time())
        command = script(kind, sleep_s, self.directory / "truth" / task)
        return command_task(task, offer, command, cpus=CPUS, mem_mb=MEM)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        task = status.task_id.value
        self.ledger.write(
            what="update",
            task=task,
            state=status.state.value,
            uuid=status.uuid.hex() if status.uuid else "",
            source=status.source.value if status.source else "",
            reason=status.reason.value if status.reason else "",
            message=status.message or "",
        )
        if is_terminal(status.state):
            self.live.pop(task, None)

    def error(self, driver: SchedulerDriver, message: str) -> None:
        self.ledger.write(what="error", message=message)

    def tick(self, driver: SchedulerDriver) -> None:
        """Kill those that are to be killed; ask after those that are silent."""
        if not driver.session.subscribed:
            return
        now = time.time()
        for task, (agent, kind, at) in self.live.items():
            if kind == "killed" and now - at > KILL_AFTER_S:
                _sent(driver.kill(task, agent))
        late = {task: agent for task, (agent, _, at) in self.live.items() if now - at > ASK_AFTER_S}
        if late:
            _sent(driver.reconcile(late))
        if self.finishing and not self.live:
            (self.directory / f"{self.name}.finished").touch()


def _sent(deferred: Deferred[None]) -> None:
    """A call that is not sent now is made good by asking later."""

    def refused(failure: Failure) -> None:
        failure.trap(UnavailableError, RefusedError)
        print("a call was not sent:", failure.getErrorMessage(), file=sys.stderr, flush=True)

    deferred.addErrback(refused)
