"""One agent of a simulated cluster: production core, driver, recovery, containerizer and link.

    SimHost    what outlives the agent: kernel, checkpoint rows, name
    SimAgent   one life of the agent's process on it, from start to kill

Simulated are the launcher (`kernel.py`), the rows (`disk.py`), the network below the link, the
sandboxes' directories (a set of names) and the fetcher (URIs arrive by waiting). Executors of
their own and checks are not run here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.decide import decide
from mesos_twisted.agent.core.state import AgentState, Policy, new_state
from mesos_twisted.agent.net import recovery
from mesos_twisted.agent.net.containers import AgentContainers
from mesos_twisted.agent.net.driver import AgentDriver
from mesos_twisted.agent.net.leader import MasterSource
from mesos_twisted.agent.net.master_link import MasterLink
from mesos_twisted.agent.net.users import User
from mesos_twisted.clock import Timers
from mesos_twisted.containerizer.isolators.posix_cpu import PosixCpu
from mesos_twisted.containerizer.isolators.posix_mem import PosixMem
from mesos_twisted.containerizer.mesos import MesosContainerizer
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.testing.sim.disk import CrashError, SimRows
from mesos_twisted.testing.sim.kernel import SimKernel, SimLauncher
from mesos_twisted.transport.batch import FlushBatch

WORK_DIR = "/sim"


class SimHost:
    """What of an agent's machine outlives the agent."""

    def __init__(self, clock: IReactorTime, random: Random, policy: Policy) -> None:
        """`clock` is the world's, not the agent's."""
        self.policy = policy
        self.random = random
        self.kernel = SimKernel(clock, Random(random.getrandbits(64)))
        self.rows = SimRows(Random(random.getrandbits(64)))
        self.sandboxes: set[str] = set()

    def power_cut(self) -> None:
        """The machine restarts: processes, and what was not flushed, are gone."""
        self.kernel.reboot()
        self.rows.power_cut()

    def lenient(self) -> None:
        """From its next start on the agent does without rows that it cannot read."""
        self.policy = replace(self.policy, strict=False)

    def clean(self) -> None:
        """The machine is made new: no processes, rows or sandboxes."""
        self.kernel.reboot()
        self.rows.clear()
        self.sandboxes.clear()


class SimFetcher:
    """Fetches by waiting a moment; URIs that begin with `missing:` are not found."""

    def __init__(self, clock: IReactorTime, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._under_way: dict[str, tuple[Deferred[str | None], IDelayedCall]] = {}

    def fetch(
        self, container_id: str, directory: str, command: m.CommandInfo, user: User | None
    ) -> Deferred[str | None]:
        """None, or why not."""
        if not command.uris:
            return succeed(None)
        bad = [uri.value for uri in command.uris if uri.value.startswith("missing:")]
        problem = f"Failed to fetch '{bad[0]}': not found" if bad else None
        done: Deferred[str | None] = Deferred()
        timer = self._clock.callLater(self._random.random(), self._finish, container_id, problem)
        self._under_way[container_id] = (done, timer)
        return done

    def cancel(self, container_id: str) -> None:
        """Ended early."""
        if container_id in self._under_way:
            self._finish(container_id, "The container was destroyed while fetching")

    def _finish(self, container_id: str, problem: str | None) -> None:
        done, timer = self._under_way.pop(container_id)
        if timer.active():
            timer.cancel()
        done.callback(problem)


class _Sandboxes:
    def __init__(self, host: SimHost) -> None:
        self._host = host

    def make(
        self, directory: str, user: User | None, subdirectories: tuple[str, ...] = (), /
    ) -> None:
        if self._host.rows.faults.full:
            raise OSError(28, "No space left on device")
        self._host.sandboxes.add(directory)

    def close(self) -> None:
        pass


class _NoChecks:
    def start(self, effect: fx.StartChecks) -> None:
        pass

    def stop(self, effect: fx.StopChecks) -> None:
        pass


class _NoExecutors:
    def send(self, connection: ConnectionId, event: m.ExecutorEvent) -> None:
        pass

    def close(self, connection: ConnectionId) -> None:
        pass


class SimAgent:
    """One life of an agent. `reactor` is its node's: it stops when the node is killed.

    `ended(exit_code, sentence)` tells that the process has left by itself; `died()` that a fault
    killed it in the middle of a write.
    """

    def __init__(
        self,
        host: SimHost,
        reactor: Any,
        contexts: Any,
        masters: MasterSource,
        *,
        now: Callable[[], float],
        seed: bytes,
        jitter: Callable[[], float],
        ended: Callable[[int, str], None],
        died: Callable[[], None],
    ) -> None:
        self.host = host
        self.state: AgentState = new_state(host.policy, seed)
        self.timers = Timers(reactor)
        self.driver = AgentDriver(self.state, decide, self.timers, now)
        self.counts: dict[str, int] = {}
        self.alive = True
        self._now = now
        self._ended, self._died = ended, died
        self._connections = 0
        self.launcher = SimLauncher(host.kernel, reactor)
        self.containerizer = MesosContainerizer(
            self.launcher,
            (PosixCpu(self.launcher), PosixMem(self.launcher)),
            identify=lambda user: None,
        )
        self.launcher.on_exit = self.containerizer.exited
        handle = self._handle
        self.containers = AgentContainers(
            WORK_DIR,
            self.containerizer,
            SimFetcher(reactor, Random(host.random.getrandbits(64))),
            self.timers,
            handle=handle,
            now=now,
            token=lambda container_id: "token",
            spare=self._spare,
            sandbox_opened=lambda container_id, directory, environment: None,
            sandbox_closed=lambda container_id: None,
            sandboxes=_Sandboxes(host),
        )
        self.link = MasterLink(
            reactor,
            self.timers,
            contexts,
            masters,
            FlushBatch(reactor),
            handle=handle,
            now=now,
            fresh=self._fresh,
            jitter=jitter,
            count=self._count,
        )
        ports = self.driver.ports
        ports.store, ports.link, ports.containers = self, self.link, self.containers
        ports.checks, ports.executors, ports.count = _NoChecks(), _NoExecutors(), self._count
        ports.delete, ports.stop = self._delete, self._leave

    def start(self) -> None:
        """Recover, then look for the master; a disk that cannot be read ends the process."""
        Deferred.fromCoroutine(self._start()).addErrback(self._not_started)

    def kill(self) -> None:
        """The process is gone at once, wherever it stood; its node's timers are the world's to
        drop."""
        self.alive = False
        self.driver.stopped = True
        self.launcher.close()

    def write(self, changes: list[fx.Checkpoint | fx.Forget]) -> None:
        """The store's part: durable afterwards. Raises UnavailableError or CrashError."""
        self.host.rows.write(changes)

    async def _start(self) -> None:
        records = self.host.rows.rows()
        event = await recovery.recover(
            records, self.containerizer, WORK_DIR, self._now(), self.host.kernel.boot_id
        )
        self._handle(event)
        if self.driver.stopped:
            return
        for found in event.containers:
            if found.running and found.container_id in self.state.containers:
                self.containers.adopt(found.container_id)
        self.link.start()

    def _not_started(self, failure: Failure) -> None:
        if self.alive:
            failure.trap(UnavailableError)
            self._leave(1, failure.getErrorMessage())

    def _handle(self, event: ev.Event) -> None:
        if not self.alive:
            return
        try:
            self.driver.handle(event)
        except CrashError:
            self.kill()
            self._died()

    def _leave(self, exit_code: int, message: str) -> None:
        if self.alive:
            self.driver.stop()
            self.kill()
            self._ended(exit_code, message)

    def _delete(self, path: str) -> None:
        self.host.sandboxes = {
            one for one in self.host.sandboxes if one != path and not one.startswith(path + "/")
        }
        self.timers.after(0.0, self._handle, ev.PathDeleted(path, True, self._now()))

    def _spare(self, directory: str) -> Deferred[None]:
        """The collector answers at once, or after a while when the disk is slow."""
        slow_s = self.host.kernel.faults.sandbox_s
        if not slow_s:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self.timers.after(self.host.random.random() * slow_s, done.callback, None)
        return done

    def _fresh(self) -> ConnectionId:
        self._connections += 1
        return ConnectionId(self._connections)

    def _count(self, name: str, amount: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount
