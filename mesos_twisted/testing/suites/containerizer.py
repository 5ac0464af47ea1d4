"""What every `IContainerizer` promises, as tests: run against the fake and against processes.

A subclass of `ContainerizerSuite` says how to make a containerizer (`make`), how to let time pass
until a Deferred has fired (`settle`), and how the process of a container comes to end (`end`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from twisted.internet.defer import Deferred

from mesos_twisted.containerizer.core.container import (
    ContainerConfig,
    ContainerId,
    Launched,
    Limits,
    Recovered,
    Scope,
    Termination,
    Usage,
)
from mesos_twisted.containerizer.core.lifecycle import ContainerState
from mesos_twisted.containerizer.interfaces import IContainerizer

T = TypeVar("T")
A, B = ContainerId("a"), ContainerId("a.b")
SLEEP = ContainerConfig(("sleep", "60"), file="/bin/sleep", cpus_milli=500, mem_bytes=32 << 20)


class ContainerizerSuite:
    """The tests; not collected by itself."""

    def make(self) -> IContainerizer:
        """A containerizer not yet recovered, over what the one before it (if any) left."""
        raise NotImplementedError

    def settle(self, deferred: Deferred[T]) -> T:
        """The Deferred's result; raises its failure, and when it does not fire."""
        raise NotImplementedError

    def end(self, containerizer: IContainerizer, container_id: ContainerId, code: int) -> None:
        """Lets the first process end with exit code 0, or by signal `-code`."""
        raise NotImplementedError

    def fresh(
        self, known: Mapping[ContainerId, ContainerConfig | None] | None = None
    ) -> tuple[IContainerizer, list[Recovered]]:
        """A recovered containerizer and what it found."""
        made = self.make()
        return made, self.settle(made.recover(known or {}))

    def started(self, config: ContainerConfig = SLEEP) -> IContainerizer:
        """A containerizer in which container A runs."""
        made, _ = self.fresh()
        outcome = self.settle(made.launch(A, config))
        assert outcome.running and outcome.result is Launched.STARTED and outcome.pid > 0, outcome
        return made

    def test_launch_runs_and_is_idempotent(self) -> None:
        """A second launch of an id starts nothing."""
        made = self.started()
        status = made.status(A)
        assert status is not None and status.state is ContainerState.RUNNING
        again = self.settle(made.launch(A, SLEEP))
        assert again.result is Launched.ALREADY and again.pid == status.pid
        assert made.containers() == [A]

    def test_failed_launch_leaves_nothing(self) -> None:
        """A program that is not there is told in a sentence, and the id is free again."""
        made, _ = self.fresh()
        outcome = self.settle(made.launch(A, ContainerConfig(("x",), file="/nonexistent")))
        assert not outcome.running and "exec failed" in (outcome.problem or "")
        assert made.containers() == [] and made.status(A) is None
        assert self.settle(made.launch(A, SLEEP)).running

    def test_refused_configurations(self) -> None:
        """What cannot be run is a problem, never an exception."""
        made, _ = self.fresh()
        for config in (
            ContainerConfig(()),
            ContainerConfig(("a", "b"), shell=True),
            ContainerConfig(("a\0b",)),
            ContainerConfig(("true",), env=(("A=B", "x"),)),
        ):
            assert self.settle(made.launch(A, config)).problem

    def test_wait_tells_the_end(self) -> None:
        """`wait` before and after the end fires with the same termination."""
        made = self.started()
        before = made.wait(A)
        assert not before.called
        self.end(made, A, -15)
        ended = self.settle(before)
        assert ended is not None and ended.status is not None
        assert os.waitstatus_to_exitcode(ended.status) == -15
        assert ended.message == "Command terminated with signal Terminated"
        assert self.settle(made.wait(A)) == ended

    def test_kill_reaches_the_container(self) -> None:
        """SIGKILL ends it; an ended or unknown container takes no signal."""
        made = self.started()
        assert self.settle(made.kill(A, 9, Scope.GROUP))
        ended = self.settle(made.wait(A))
        assert ended is not None and ended.status == 9
        assert not self.settle(made.kill(A, 9, Scope.GROUP))
        assert not self.settle(made.kill(B, 9, Scope.TREE))

    def test_destroy_ends_and_stays_readable(self) -> None:
        """Destroying twice is one destroy; its termination is kept until forgotten."""
        made = self.started()
        waiting = made.wait(A)
        first, second = made.destroy(A), made.destroy(A)
        ended = self.settle(first)
        assert ended is not None and ended.status == 9
        assert self.settle(second) == ended == self.settle(waiting) == self.settle(made.destroy(A))
        status = made.status(A)
        assert status is not None and status.state is ContainerState.DESTROYED
        self.settle(made.forget(A))
        assert made.containers() == [] and self.settle(made.wait(A)) is None

    def test_unknown_containers(self) -> None:
        """Nobody's id is answered, never an error."""
        made, _ = self.fresh()
        assert made.status(A) is None
        nothing: Termination | None = self.settle(made.destroy(A))
        assert nothing is None and self.settle(made.wait(A)) is None
        assert self.settle(made.usage(A)) == Usage()
        self.settle(made.update(A, Limits(1, 1)))
        self.settle(made.forget(A))

    def test_forget_destroys_first(self) -> None:
        """Nothing runs that nobody remembers."""
        made = self.started()
        waiting = made.wait(A)
        self.settle(made.forget(A))
        ended = self.settle(waiting)
        assert ended is not None and ended.status == 9

    def test_usage_and_update(self) -> None:
        """Usage shows the limits of now, and one live process."""
        made = self.started()
        before = self.settle(made.usage(A))
        assert (before.cpus_limit_milli, before.mem_limit_bytes) == (500, 32 << 20)
        assert before.processes == 1 and (before.mem_rss_bytes or 0) > 0
        self.settle(made.update(A, Limits(1500, 64 << 20)))
        after = self.settle(made.usage(A))
        assert (after.cpus_limit_milli, after.mem_limit_bytes) == (1500, 64 << 20)

    def test_recovery_finds_what_runs_and_what_ended(self) -> None:
        """A new containerizer takes over live containers and learns of ends it did not see."""
        made = self.started()
        self.settle(made.launch(B, SLEEP))
        status = made.status(A)
        self.end(made, B, -15)
        self.settle(made.wait(B))
        ghost = ContainerId("ghost")
        after, found = self.fresh({A: SLEEP, B: None, ghost: None})
        assert status is not None
        assert found[0] == Recovered(A, status.pid, None)
        assert found[1].termination is not None and found[1].termination.status == 15
        assert found[2].termination is not None and found[2].termination.status is None
        assert self.settle(after.usage(A)).cpus_limit_milli == 500
        ended = self.settle(after.destroy(A))
        assert ended is not None and ended.status == 9

    def test_recovery_destroys_orphans(self) -> None:
        """A container the agent does not know any more is gone after recovery."""
        self.started()
        after, found = self.fresh()
        assert found == [] and after.containers() == []
        found = self.fresh({A: None})[1]
        assert found[0].termination is not None and found[0].termination.status is None
