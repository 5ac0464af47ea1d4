"""The reactor of one simulated process: production code takes it for Twisted's.

A `SimReactor` is one life of one process on a `SimNode`. It tells the node's time, which may be
skewed and drift, and connects and listens on the simulated network. Threads, descriptors and
processes are refused: what needs them is not simulated by running it.

    kill()    SIGKILL: its calls are dropped, the kernel closes its connections (peers are told)
    pause()   SIGSTOP: time goes on, nothing of it runs, the kernel still accepts and receives
    resume()  SIGCONT: what was held back comes now, in order

As in Twisted, `seconds` is wall-clock time (epoch seconds), so a step of the node's clock makes
timers early or late; and an exception in a call is reported (`on_error`) and survived.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.interfaces import IProtocolFactory, IReactorTCP, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.errors import BugError
from mesos_twisted.testing.sim.clock import SimCall
from mesos_twisted.testing.sim.net import SimNode
from mesos_twisted.testing.sim.ports import SimConnector, SimPort
from mesos_twisted.testing.sim.stream import SimTransport

#: A turn takes time, so no process can go round and round while the world's stands still.
TURN_S: Final = 0.000001


@implementer(IReactorTime, IReactorTCP)
class SimReactor:
    """One life of a process; a node without power has none."""

    running = True

    def __init__(self, node: SimNode, name: str) -> None:
        self.node = node
        self.name = name
        self.clock = node.clock
        self.alive = True
        self.paused = False
        #: Hears of what calls raised; unless set, it is raised out of the world's run.
        self.on_error: Callable[[Failure], object] | None = None
        self.transports: dict[SimTransport, None] = {}
        self.ports: dict[SimPort, None] = {}
        self._held: list[SimCall] = []
        self._floor = 0.0
        self._triggers: list[Callable[[], object]] = []
        if not node.up:
            raise BugError(f"No process can start on {node.name}: it has no power")
        node.processes[self] = None

    def __repr__(self) -> str:
        return f"<SimReactor {self.name}>"

    # IReactorTime

    def seconds(self) -> float:
        """Epoch seconds on this node's clock."""
        node = self.node
        now = node.base_local + (self.clock.now - node.base_world) * node.rate
        return now if now > self._floor else self._floor

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> SimCall:
        """Calls after so many seconds of this node's clock, if the process lives then."""
        if kw:
            callable = partial(callable, **kw)
        if delay < TURN_S:
            if delay < 0:
                raise ValueError(f"A call cannot be made {-delay:g} s ago")
            delay = TURN_S
        clock, node = self.clock, self.node
        world = clock.now
        now, rate = node.base_local + (world - node.base_world) * node.rate, node.rate
        if now < self._floor:
            now = self._floor
        return clock.at(world + delay / rate, self, callable, args, now + delay)

    def getDelayedCalls(self) -> list[SimCall]:
        """This process's, in order."""
        return self.clock.of(self)

    # Owner, for the clock

    def admit(self, call: SimCall) -> bool:
        """Only a process that lives and is not paused runs."""
        if self.alive and not self.paused:
            # Rounding must not show a call that it came early.
            if call.shown > self._floor:
                self._floor = call.shown
            return True
        if self.alive:
            self._held.append(call)
            call.number = sys.maxsize
        return False

    def failed(self) -> None:
        """Report what was raised."""
        if self.on_error is None:
            raise
        self.on_error(Failure())

    def seconds_at(self, time: float) -> float:
        """Epoch seconds on this node's clock at the world's `time`."""
        return self.node.seconds_at(time)

    def delay_until(self, seconds: float) -> float:
        """World seconds until this node's clock shows that."""
        return max(0.0, (seconds - self.node.seconds_at(self.clock.now)) / self.node.rate)

    def clock_changed(self) -> None:
        """The node's clock was set or runs at another pace: timers keep their time of day."""
        self._floor = 0.0
        for call in self.clock.of(self):
            self.clock.push(call, self.clock.now + self.delay_until(call.shown))

    # Life

    def kill(self) -> None:
        """The process is gone; peers learn it from the kernel."""
        if not self.alive:
            return
        self.alive = False
        self._held.clear()
        for port in tuple(self.ports):
            port.close()
        for transport in tuple(self.transports):
            transport.process_gone()
        self.ports.clear()
        self.transports.clear()
        self.node.processes.pop(self, None)
        self.clock.note(self.name, "killed")

    def vanish(self) -> None:
        """The process is gone and so is its kernel: nobody is told."""
        self.alive = False
        self._held.clear()
        for port in tuple(self.ports):
            port.close()
        for transport in tuple(self.transports):
            transport.kernel_gone()
        self.ports.clear()
        self.transports.clear()
        self.node.processes.pop(self, None)

    def pause(self) -> None:
        """Nothing of the process runs until `resume`."""
        self.paused = True
        self.clock.note(self.name, "paused")

    def resume(self) -> None:
        """It goes on; what is overdue runs now, in order."""
        self.paused = False
        self.clock.note(self.name, "resumed")
        held, self._held = self._held, []
        for call in held:
            # One that was cancelled meanwhile is on no heap.
            if call.number == sys.maxsize:
                self.clock.push(call, self.clock.now)
        for transport in tuple(self.transports):
            transport.wake()

    def stop(self) -> None:
        """The process leaves by itself, after what it asked to be told of the shutdown."""
        triggers, self._triggers = self._triggers, []
        for trigger in triggers:
            trigger()
        self.kill()

    # IReactorTCP

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> Any:
        """Twisted's; raises CannotListenError when the port is taken on this node."""
        listening = SimPort(self, port, factory, interface)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Any:
        """Twisted's."""
        connector = SimConnector(self, host, port, factory, timeout)
        connector.connect()
        return connector

    # What else of a reactor is asked for

    def callWhenRunning(self, callable: Callable[..., object], *args: Any, **kw: Any) -> None:
        """It runs already."""
        callable(*args, **kw)

    def callFromThread(self, callable: Callable[..., object], *args: Any, **kw: Any) -> None:
        """In the next turn; there are no threads."""
        self.callLater(0, callable, *args, **kw)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> object:
        """Called by `stop` for the shutdown, whatever the phase."""
        if eventType == "shutdown":
            trigger = partial(callable, *args, **kw)
            self._triggers.append(trigger)
            return trigger
        return None

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """It is not called."""
        if triggerID in self._triggers:
            self._triggers.remove(triggerID)

    def getThreadPool(self) -> Any:
        """There is none."""
        raise BugError("Threads are not simulated: give this part a store or a launcher that is")

    def callInThread(self, callable: Callable[..., object], *args: Any, **kw: Any) -> None:
        """There are no threads."""
        self.getThreadPool()

    def spawnProcess(self, *args: Any, **kw: Any) -> Any:
        """There are no real processes."""
        raise BugError("Real processes are not simulated: use SimKernel and SimLauncher")
