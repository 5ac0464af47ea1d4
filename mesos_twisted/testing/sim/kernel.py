"""A simulated host: its processes, which outlive the agent, and the launcher that keeps them.

    agent -> SimLauncher (one connection) -> SimKernel (the host: processes, journal, boot id)

The kernel lives on the world's clock; a connection lives and dies with its agent. A process does
what its command says, in words that need no shell:

    run 3.5 exit 0       runs 3.5 s, then exits with 0
    run 3.5 signal 11    ends by a signal
    run forever          until it is killed
    run 3.5 exit 0 deaf  the same, but SIGTERM does nothing to it

Nothing is random here but what `SimKernel.random` decides, and only through the knobs of `Faults`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mesos_twisted.containerizer.core.container import Scope
from mesos_twisted.containerizer.zygote_messages import (
    Entry,
    ExitListener,
    LaunchFailedError,
    LaunchRequest,
    Rusage,
    Started,
    TreeUsage,
)
from mesos_twisted.errors import UnavailableError

T = TypeVar("T")
_NONE = Rusage()
_FIRST_PID = 300
_KILL, _TERM = 9, 15


@dataclass(frozen=True, slots=True)
class Fate:
    """What a process does by itself: after `after_s` (None: never) it ends with a wait status."""

    after_s: float | None
    status: int = 0
    deaf: bool = False


def fate_of(argv: tuple[str, ...]) -> Fate:
    """See the module's head; what is not understood runs for ever."""
    words = (argv[-1] if argv else "").split()
    if len(words) >= 4 and words[0] == "run" and words[1] != "forever":
        code = int(words[3])
        status = code << 8 if words[2] == "exit" else code
        return Fate(float(words[1]), status, "deaf" in words)
    return Fate(None, 0, "deaf" in words)


@dataclass(slots=True)
class Faults:
    """What is wrong with a host; chances are between 0 and 1, times in seconds."""

    launch_fails: float = 0.0
    #: A launch, signal or list takes up to so long.
    delay_s: float = 0.002
    #: The end of a process is told up to so much later.
    late_exit_s: float = 0.0
    #: A killed process may take so long to die (uninterruptible sleep).
    stuck_s: float = 0.0
    #: A sandbox takes up to so long to make.
    sandbox_s: float = 0.0
    #: The number of a process that ended goes at once to one that is nobody's here.
    strangers: float = 0.0


@dataclass(slots=True)
class Process:
    """One container's first process, and what the launcher remembers of it."""

    container_id: str
    pid: int
    start_ticks: int
    request: LaunchRequest
    fate: Fate
    started_at: float
    status: int | None = None
    ended_at: float | None = None
    ending: IDelayedCall | None = field(default=None, repr=False)
    #: Asked to die by SIGKILL, and not dead yet.
    dying: bool = False

    @property
    def running(self) -> bool:
        """Does it live?"""
        return self.status is None

    @property
    def task_id(self) -> str:
        """Its task's, which frameworks of the simulation put into the environment."""
        return dict(self.request.env).get("SIM_TASK_ID", "")

    def entry(self) -> Entry:
        """As the launcher lists it."""
        state = "running" if self.running else "exited"
        status = 0 if self.status is None else self.status
        return Entry(self.container_id, state, self.pid, self.start_ticks, status, "", _NONE)


class SimKernel:
    """One host. `history` is every process that ever started, for the auditor."""

    def __init__(self, clock: IReactorTime, random: Random, pids: int = 12) -> None:
        self.clock = clock
        self.random = random
        self.faults = Faults()
        self.boots = 1
        self.history: list[Process] = []
        #: Hears of each process that starts.
        self.heard: Callable[[Process], object] | None = None
        #: How often ends of processes were lost with the launcher.
        self.launchers_lost = 0
        #: Numbers of processes that no launcher started; they live until the machine restarts.
        self.strangers: dict[int, None] = {}
        self._known: dict[str, Process] = {}
        self._pids = pids
        self._next = 0
        self._told: list[SimLauncher] = []

    @property
    def boot_id(self) -> str:
        """Another one after each reboot."""
        return f"boot-{self.boots}"

    def running(self) -> list[Process]:
        """What lives, the oldest first."""
        return [one for one in self.history if one.running]

    def reboot(self) -> None:
        """Every process is gone, and so is all that the launcher knew: its journal is in /run."""
        self.boots += 1
        for process in self.running():
            self._end(process, _KILL, tell=False)
        self.strangers.clear()
        self._known.clear()
        self._told.clear()

    def oom(self) -> Process | None:
        """The kernel kills one process, if there is any."""
        alive = self.running()
        if not alive:
            return None
        victim = alive[self.random.randrange(len(alive))]
        self._end(victim, _KILL)
        return victim

    def lose_launcher(self) -> None:
        """The launcher is killed: processes go on, how they end is not known any more."""
        self.launchers_lost += 1
        for launcher in list(self._told):
            launcher.broken()

    def connect(self, launcher: SimLauncher) -> None:
        """The agent's newest connection hears of ends."""
        self._told = [launcher]

    # What a launcher asks; at once, in the kernel.

    def launch(self, request: LaunchRequest) -> Started:
        """Raises LaunchFailedError."""
        there = self._known.get(request.container_id)
        if there is None:
            missing = request.file == "/nonexistent"
            if missing or self.random.random() < self.faults.launch_fails:
                number = errno.ENOENT if missing else errno.EAGAIN
                raise LaunchFailedError(request.container_id, number, "exec" if missing else "fork")
            there = self._start(request)
        return Started(there.container_id, there.pid, there.start_ticks)

    def _start(self, request: LaunchRequest) -> Process:
        now = self.clock.seconds()
        process = Process(
            request.container_id,
            self._free_pid(),
            int(now * 100),
            request,
            fate_of(request.argv),
            now,
        )
        self.history.append(process)
        self._known[request.container_id] = process
        if self.heard is not None:
            self.heard(process)
        if process.fate.after_s is not None:
            process.ending = self.clock.callLater(
                process.fate.after_s, self._end, process, process.fate.status
            )
        return process

    def _free_pid(self) -> int:
        # Few numbers, so that they are used again soon.
        taken = {one.pid for one in self.running()}
        taken.update(self.strangers)
        while True:
            self._next = (self._next + 1) % max(self._pids, len(taken) + 2)
            if _FIRST_PID + self._next not in taken:
                return _FIRST_PID + self._next

    def signal(self, container_id: str, signo: int) -> int:
        """How many processes took it."""
        process = self._known.get(container_id)
        if process is None or not process.running:
            return 0
        if signo == _KILL:
            self._kill(process)
        elif signo == _TERM and not process.fate.deaf:
            self._end(process, signo)
        return 1

    def _kill(self, process: Process) -> None:
        if process.dying:
            return
        process.dying = True
        if process.ending is not None and process.ending.active():
            process.ending.cancel()
        wait_s = self.random.random() * self.faults.stuck_s
        if wait_s > 0.0:
            process.ending = self.clock.callLater(wait_s, self._end, process, _KILL)
        else:
            self._end(process, _KILL)

    def destroy(self, container_id: str) -> bool:
        """Kill it; is it dead already?"""
        process = self._known.get(container_id)
        if process is None or not process.running:
            return True
        self._kill(process)
        return not process.running

    def forget(self, container_id: str) -> None:
        """The launcher remembers it no longer; what still runs is killed."""
        process = self._known.pop(container_id, None)
        if process is not None and process.running:
            self._kill(process)

    def known(self) -> list[Entry]:
        """What the launcher remembers."""
        return [one.entry() for one in self._known.values()]

    def _end(self, process: Process, status: int, tell: bool = True) -> None:
        if not process.running:
            return
        process.status, process.ended_at = status, self.clock.seconds()
        if self.faults.strangers and self.random.random() < self.faults.strangers:
            self.strangers[process.pid] = None
        if process.ending is not None and process.ending.active():
            process.ending.cancel()
        if tell:
            self.clock.callLater(
                self.random.random() * self.faults.late_exit_s, self._tell, process, status
            )

    def _tell(self, process: Process, status: int) -> None:
        for launcher in list(self._told):
            launcher.exited(process.container_id, status)


class SimLauncher:
    """`ILauncher`: one agent's connection to its host's launcher.

    `clock` is the agent's own: what it was told dies with it. What it asked still happens.
    """

    def __init__(self, kernel: SimKernel, clock: IReactorTime) -> None:
        self.on_exit: ExitListener = lambda *_: None
        self.is_lost = False
        self.kernel = kernel
        self._clock = clock

    def connect(self) -> Deferred[None]:
        """Ends are told here from now on."""
        return self._ask(lambda: self.kernel.connect(self))

    def launch(self, request: LaunchRequest) -> Deferred[Started]:
        """Idempotent by container id."""
        return self._ask(lambda: self.kernel.launch(request))

    def signal(self, container_id: str, signo: int, scope: Scope) -> Deferred[int]:
        """0 when nothing was there."""
        return self._ask(lambda: self.kernel.signal(container_id, signo))

    def destroy(self, container_id: str) -> Deferred[None]:
        """Fires when the process is dead, also for unknown ids."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if self.kernel.destroy(container_id):
                self._clock.callLater(self._wait_s(), done.callback, None)
            else:
                self.kernel.clock.callLater(0.05, look)

        self.kernel.clock.callLater(self._wait_s(), look)
        return done

    def forget(self, container_id: str) -> Deferred[None]:
        """Also for unknown ids."""
        return self._ask(lambda: self.kernel.forget(container_id))

    def usage(self, container_id: str) -> Deferred[TreeUsage]:
        """One process of 4 KiB while it lives."""

        def read() -> TreeUsage:
            lives = any(
                one.state == "running" and one.container_id == container_id
                for one in self.kernel.known()
            )
            return TreeUsage(0, 0, 4096, 1, 1) if lives else TreeUsage(0, 0, 0, 0, 0)

        return self._ask(read)

    def list_all(self) -> Deferred[list[Entry]]:
        """Everything remembered."""
        return self._ask(self.kernel.known)

    def exited(self, container_id: str, status: int) -> None:
        """The kernel tells of an end; the agent hears of it if it lives."""
        self._clock.callLater(self._wait_s(), self.on_exit, container_id, status, _NONE)

    def broken(self) -> None:
        """The connection breaks; what is asked from now on fails until the agent starts again."""
        self.is_lost = True

    def close(self) -> None:
        """The agent leaves; processes go on."""
        self.on_exit = lambda *_: None

    def _wait_s(self) -> float:
        return self.kernel.random.random() * self.kernel.faults.delay_s

    def _ask(self, function: Callable[[], T]) -> Deferred[T]:
        """The request reaches the kernel a little later, the answer the agent later still."""
        done: Deferred[T] = Deferred()

        def happen() -> None:
            try:
                result = function()
            except LaunchFailedError as error:
                self._clock.callLater(self._wait_s(), done.errback, error)
            else:
                self._clock.callLater(self._wait_s(), done.callback, result)

        if self.is_lost:
            lost = UnavailableError("The launcher does not answer.")
            self._clock.callLater(0.0, done.errback, lost)
        else:
            self.kernel.clock.callLater(self._wait_s(), happen)
        return done


def exit_code(status: int) -> int:
    """A wait status as a shell would show it, negative for a signal."""
    return os.waitstatus_to_exitcode(status)
