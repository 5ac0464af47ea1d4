"""Plans, limits, states and ends: values in, values out."""

from __future__ import annotations

import resource
from itertools import product

from mesos_twisted.containerizer.core.container import ContainerConfig, Limitation, Rlimit
from mesos_twisted.containerizer.core.launch_plan import LaunchPlan, Preparation, plan
from mesos_twisted.containerizer.core.lifecycle import (
    TRANSITIONS,
    ContainerEvent,
    ContainerState,
    step,
)
from mesos_twisted.containerizer.core.limits import human, over_quota, rlimits
from mesos_twisted.containerizer.core.termination import explain
from mesos_twisted.errors import Problem


def test_every_pair_is_decided() -> None:
    """A pair outside the table is refused; DESTROYED is final; every other state can end."""
    for state, event in product(ContainerState, ContainerEvent):
        assert step(state, event) == TRANSITIONS.get((state, event))
    for state in ContainerState:
        ends = step(state, ContainerEvent.DESTROY)
        assert (ends is None) == (state is ContainerState.DESTROYED)


def test_plans() -> None:
    """Shell text goes to sh; otherwise argv is whole and `file` may differ; isolators win."""
    added = (Preparation(env=(("A", "2"),), rlimits=(Rlimit(7, 1, 2),)),)
    config = ContainerConfig(("echo $A",), shell=True, env=(("A", "1"), ("B", "")))
    assert plan(config, added) == LaunchPlan(
        "/bin/sh", ("sh", "-c", "echo $A"), (("A", "2"), ("B", "")), (Rlimit(7, 1, 2),)
    )
    named = plan(ContainerConfig(("name", "x"), file="/bin/prog"), ())
    assert isinstance(named, LaunchPlan) and (named.file, named.argv[0]) == ("/bin/prog", "name")
    bare = plan(ContainerConfig((), file="/bin/prog"), ())
    assert isinstance(bare, LaunchPlan) and bare.argv == ("/bin/prog",)


def test_environments_are_not_shown() -> None:
    """A secret in an environment does not reach a log line by repr."""
    config = ContainerConfig(("a",), env=(("TOKEN", "s3cret"),))
    planned = plan(config, (Preparation(env=(("T", "s3cret"),)),))
    assert "s3cret" not in repr(config) + repr(planned)
    refused = plan(ContainerConfig(("a",), env=(("T", "s3cret\0"),)), ())
    assert isinstance(refused, Problem) and "s3cret" not in refused.sentence


def test_rlimits() -> None:
    """Mesos's names become numbers; halves, doubles and disorder are refused."""
    assert rlimits([("RLMT_NOFILE", 1, 2), ("RLMT_CORE", None, None)]) == (
        Rlimit(resource.RLIMIT_NOFILE, 1, 2),
        Rlimit(resource.RLIMIT_CORE, -1, -1),
    )
    for wrong in (
        [("RLMT_X", 1, 2)],
        [("RLMT_CPU", 1, None)],
        [("RLMT_CPU", 2, 1)],
        [("RLMT_CPU", 1, 1)] * 2,
    ):
        assert isinstance(rlimits(wrong), Problem)


def test_quota() -> None:
    """Only more than the quota is over it; amounts are said exactly."""
    assert over_quota(5, None) is None and over_quota(5, 5) is None
    verdict = over_quota(3 << 20, 1 << 20)
    assert verdict == Limitation(
        "REASON_CONTAINER_LIMITATION_DISK", "Disk usage (3MB) exceeds quota (1MB)"
    )
    assert [human(n) for n in (0, 17, 1025, 1024, 1 << 40)] == ["0B", "17B", "1025B", "1KB", "1TB"]


def test_ends_are_told_in_mesos_words() -> None:
    """Codes, signals, limitations and the unknown."""
    assert explain(0, None).message == "Command exited with status 0"
    assert explain(9, None).message == "Command terminated with signal Killed"
    limited = explain(9, Limitation("REASON_X", "too much"))
    assert (limited.status, limited.message, limited.reason) == (9, "too much", "REASON_X")
    assert explain(-1, None, lost="who knows").message == "who knows"
    assert explain(-1, None).status is None
