"""`disk/du`: what a sandbox uses, and the end of one that uses too much."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.containerizer.core.container import (
    ContainerConfig,
    ContainerId,
    Limitation,
    Limits,
    Termination,
    Usage,
)
from mesos_twisted.containerizer.core.lifecycle import ContainerState
from mesos_twisted.containerizer.fake import FakeContainerizer
from mesos_twisted.containerizer.isolators.disk_du import DiskDu, disk_usage
from mesos_twisted.containerizer.users import own_sandbox

A, B = ContainerId("a"), ContainerId("b")


def config(directory: str = "/sandbox") -> ContainerConfig:
    return ContainerConfig(("true",), cwd=directory, disk_bytes=1000)


def test_disk_usage_counts_blocks_once(tmp_path: Path) -> None:
    """Links are not followed, hard links count once, and what is missing is nothing."""
    sandbox, outside = tmp_path / "s", tmp_path / "outside"
    (sandbox / "d").mkdir(parents=True)
    outside.write_bytes(b"x" * (1 << 20))
    before = disk_usage(str(sandbox))
    (sandbox / "d" / "one").write_bytes(b"x" * 65536)
    os.link(sandbox / "d" / "one", sandbox / "two")
    (sandbox / "link").symlink_to(outside)
    (sandbox / "up").symlink_to(tmp_path)
    grown = disk_usage(str(sandbox)) - before
    assert 65536 <= grown < 65536 + (1 << 19)
    assert disk_usage(str(sandbox / "link")) == disk_usage(str(tmp_path / "none")) == 0


def test_a_container_over_quota_is_limited() -> None:
    """The sweep finds it once; raising the limit in time spares it; nothing stays scheduled."""
    clock, used = Clock(), {"/sandbox": 999}
    timers = Timers(clock)
    du = DiskDu(timers, lambda d: succeed(used[d]), enforce=True, interval_s=15)
    du.prepare(A, config())
    watch, verdicts = du.watch(A), list[Limitation]()
    assert watch is not None
    watch.addCallback(verdicts.append)
    clock.advance(15)
    used["/sandbox"] = 2000
    du.update(A, Limits(0, 0, disk_bytes=3000))
    clock.advance(15)
    assert verdicts == [] and du.usage(A, Usage()).disk_used_bytes == 2000
    du.update(A, Limits(0, 0, disk_bytes=1000))
    clock.advance(15)
    assert [v.message for v in verdicts] == ["Disk usage (2000B) exceeds quota (1000B)"]
    clock.advance(15)
    du.cleanup(A)
    du.cleanup(A)
    clock.advance(15)
    assert not clock.getDelayedCalls()


def test_sandboxes_are_measured_one_at_a_time() -> None:
    """The next starts when the one before is done, also when that failed or left."""
    clock, asked = Clock(), list[tuple[str, Deferred[int]]]()

    def measure(directory: str) -> Deferred[int]:
        asked.append((directory, Deferred()))
        return asked[-1][1]

    du = DiskDu(Timers(clock), measure, interval_s=1)
    du.prepare(A, config("/a"))
    du.prepare(B, config("/b"))
    assert du.watch(A) is None
    clock.advance(1)
    assert [d for d, _ in asked] == ["/a"]
    du.cleanup(A)
    asked[0][1].errback(OSError("gone"))
    assert [d for d, _ in asked] == ["/a", "/b"]
    asked[1][1].callback(5)
    assert du.usage(B, Usage()).disk_used_bytes == 5
    du.cleanup(B)
    assert not clock.getDelayedCalls()


def test_the_containerizer_destroys_a_limited_container() -> None:
    """The termination names the limitation as reason and message."""
    clock = Clock()
    du = DiskDu(Timers(clock), lambda _: succeed(5000), enforce=True)
    made = FakeContainerizer(isolators=(du,))
    made.launch(A, config())
    clock.advance(15)
    status, ends = made.status(A), list[Termination | None]()
    made.wait(A).addCallback(ends.append)
    (ended,) = ends
    assert status is not None and status.state is ContainerState.DESTROYED
    assert ended is not None and ended.reason == "REASON_CONTAINER_LIMITATION_DISK"
    assert ended.status == 9 and not clock.getDelayedCalls()


def test_own_sandbox_refuses_a_link(tmp_path: Path) -> None:
    """A planted link is not given away; a directory gets mode 0750."""
    (tmp_path / "link").symlink_to("/etc")
    try:
        own_sandbox(tmp_path / "link", None)
    except OSError:
        pass
    else:
        raise AssertionError("a link was accepted")
    (tmp_path / "s").mkdir()
    own_sandbox(tmp_path / "s", None)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o750
