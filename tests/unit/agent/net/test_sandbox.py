"""Sandboxes are made safely, rotated without running anything, and deleted to the last file."""

import os
import stat
from pathlib import Path

import pytest

from mesos_twisted.agent.net import rotation, sandbox
from mesos_twisted.agent.net.resources_auto import completed, detected
from mesos_twisted.agent.net.rotation import Limits
from mesos_twisted.agent.net.sandbox import Sandboxes
from mesos_twisted.agent.net.users import User
from mesos_twisted.errors import MalformedError
from mesos_twisted.files.walk import OutsideError

RUN = "slaves/S/frameworks/F/executors/E/runs/C1"


def make(
    work_dir: Path, directory: str, user: User | None, subdirectories: tuple[str, ...] = ()
) -> None:
    """One sandbox, nothing kept open."""
    sandboxes = Sandboxes(str(work_dir))
    try:
        sandboxes.make(directory, user, subdirectories)
    finally:
        sandboxes.close()


def test_a_sandbox_is_private_and_latest_leads_to_it(tmp_path: Path) -> None:
    """Mode 0750, its subdirectories too; the way to it can be walked and not listed."""
    make(tmp_path, RUN, None, ("tasks/t",))
    make(tmp_path, RUN.replace("C1", "C2"), None)
    made = tmp_path / RUN
    assert stat.S_IMODE(made.stat().st_mode) == 0o750
    assert stat.S_IMODE((made / "tasks" / "t").stat().st_mode) == 0o750
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o711
    assert os.readlink(made.parent / "latest") == "C2"
    assert sorted(os.listdir(made.parent)) == ["C1", "C2", "latest"]
    assert sandbox.latest(str(tmp_path), str(Path(RUN).parent)) == "C2"
    assert sandbox.latest(str(tmp_path), "slaves/none/runs") is None


def test_the_umask_takes_nothing_away(tmp_path: Path) -> None:
    """A strict one would keep the task's user out."""
    old = os.umask(0o077)
    try:
        make(tmp_path, RUN, None)
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / RUN, *(tmp_path / RUN).parents)]
    assert modes[:8] == [0o750] + [0o711] * 7


@pytest.mark.parametrize("gone", ["deleted", "renamed", "replaced by a link"])
def test_the_way_is_walked_anew_when_it_leads_elsewhere(tmp_path: Path, gone: str) -> None:
    """A framework's directory was collected, or someone moved it: no sandbox is made in the old
    one, and none outside."""
    outside = tmp_path / "outside"
    (outside / "executors").mkdir(parents=True)
    framework = tmp_path / "work" / "slaves/S/frameworks/F"
    sandboxes = Sandboxes(str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    sandboxes.make(RUN, None)
    if gone == "deleted":
        sandbox.delete(str(tmp_path / "work"), "slaves/S/frameworks/F")
    else:
        framework.rename(tmp_path / "old")
    second = RUN.replace("/E/", "/E2/")
    if gone == "replaced by a link":
        framework.symlink_to(outside)
        with pytest.raises(OSError):
            sandboxes.make(second, None)
        assert os.listdir(outside / "executors") == []
    else:
        sandboxes.make(second, None)
        assert os.listdir(framework / "executors") == ["E2"]
    sandboxes.close()


def test_few_ways_are_kept_open(tmp_path: Path) -> None:
    """However many frameworks come; closing gives back every descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    sandboxes = Sandboxes(str(tmp_path))
    for number in range(40):
        sandboxes.make(RUN.replace("/F/", f"/F{number}/"), None)
    kept = len(os.listdir("/proc/self/fd")) - before
    sandboxes.close()
    assert kept == 16
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_member_of_a_pod_may_have_its_own_user(tmp_path: Path) -> None:
    """Its sandbox is its own; the pod's can be walked by it and not listed."""
    member = User("nobody", 65534, 65534, (), True)
    make(tmp_path, RUN, None, ("tasks/t",))
    make(tmp_path, f"{RUN}/tasks/t", member)
    run, task = tmp_path / RUN, tmp_path / RUN / "tasks" / "t"
    assert [stat.S_IMODE(p.stat().st_mode) for p in (run, run / "tasks", task)] == [
        0o751,
        0o751,
        0o750,
    ]
    assert (run.stat().st_uid, task.stat().st_uid) == (0, 65534)


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A task of an executor may have planted it."""
    make(tmp_path, RUN, None)
    (tmp_path / RUN / "tasks").symlink_to("/tmp")
    with pytest.raises(OSError):
        make(tmp_path, f"{RUN}/tasks/t", None)
    with pytest.raises(OutsideError):
        make(tmp_path, "slaves/../../x", None)


def test_a_sandbox_is_deleted_with_its_latest_link(tmp_path: Path) -> None:
    """Deleting what is gone is fine; deleting near the top is a bug and refused."""
    make(tmp_path, RUN, None)
    (tmp_path / RUN / "x").write_text("x")
    sandbox.delete(str(tmp_path), RUN)
    sandbox.delete(str(tmp_path), RUN)
    sandbox.delete(str(tmp_path), "slaves/none/deeper")
    assert os.listdir(tmp_path / "slaves/S/frameworks/F/executors/E/runs") == []
    for path in ("", "slaves", "..", "slaves/../meta"):
        with pytest.raises(OutsideError):
            sandbox.delete(str(tmp_path), path)


def test_output_is_rotated_above_its_limit(tmp_path: Path) -> None:
    """The file the task writes to stays the same one; the oldest copy goes."""
    make(tmp_path, RUN, None)
    out = tmp_path / RUN / "stdout"
    limits = {"stdout": Limits(10, 2)}
    with open(out, "ab", buffering=0) as task:
        for round_number in range(4):
            task.write(b"%d" % round_number * 20)
            assert rotation.rotate(str(tmp_path), RUN, limits) == 1
        task.write(b"end")
    assert out.read_bytes() == b"end"
    assert (tmp_path / RUN / "stdout.1").read_bytes() == b"3" * 20
    assert (tmp_path / RUN / "stdout.2").read_bytes() == b"2" * 20
    assert not (tmp_path / RUN / "stdout.3").exists()
    assert rotation.rotate(str(tmp_path), RUN, limits) == 0


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "directory", "fifo"])
def test_what_is_no_plain_file_of_the_task_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A link to another's file must not empty it."""
    make(tmp_path, RUN, None)
    victim, out = tmp_path / "victim", tmp_path / RUN / "stdout"
    victim.write_bytes(b"x" * 100)
    if kind == "symlink":
        out.symlink_to(victim)
    elif kind == "hardlink":
        os.link(victim, out)
    elif kind == "directory":
        out.mkdir()
    else:
        os.mkfifo(out)
    assert rotation.rotate(str(tmp_path), RUN, {"stdout": Limits(10, 2)}) == 0
    assert victim.read_bytes() == b"x" * 100


def test_a_planted_copy_is_replaced_not_followed(tmp_path: Path) -> None:
    """`stdout.1` may be a link to somewhere; with one copy kept it goes first."""
    make(tmp_path, RUN, None)
    victim = tmp_path / "victim"
    victim.write_bytes(b"v")
    (tmp_path / RUN / "stdout").write_bytes(b"x" * 100)
    (tmp_path / RUN / "stdout.1").symlink_to(victim)
    assert rotation.rotate(str(tmp_path), RUN, {"stdout": Limits(10, 1)}) == 1
    assert victim.read_bytes() == b"v"
    assert (tmp_path / RUN / "stdout.1").read_bytes() == b"x" * 100


def test_a_tasks_own_limits_are_data() -> None:
    """Sizes and `rotate N` count; scripts among the options do not."""
    env = {
        "CONTAINER_LOGGER_MAX_STDOUT_SIZE": "1MB",
        "CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS": "rotate 5\npostrotate\n rm -rf /\nendscript",
        "CONTAINER_LOGGER_MAX_STDERR_SIZE": "nonsense",
    }
    default = Limits(10 << 20, 3)
    assert rotation.limits_for("stdout", env, default) == Limits(1 << 20, 5)
    assert rotation.limits_for("stderr", env, default) == default
    huge = {"CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS": "rotate 99999999"}
    assert rotation.limits_for("stdout", huge, default).keep == 100


def test_what_a_host_offers_of_itself() -> None:
    """Mesos's rules: a gigabyte and five are kept back, half on a small host."""
    gib = 1 << 30
    big = detected(8, 16 * gib, 100 * gib)
    assert big == {"cpus": "8", "mem": "15360", "disk": str(95 * 1024), "ports": "[31000-32000]"}
    small = detected(1, gib, 8 * gib)
    assert (small["mem"], small["disk"]) == ("512", "4096")


def test_only_what_is_not_given_is_found_out(tmp_path: Path) -> None:
    """A given zero means none of it."""
    found = completed("cpus:0.5;mem:64;disk:0;gpus:2", "*", str(tmp_path))
    assert [one.name for one in found] == ["cpus", "mem", "gpus", "ports"]
    with pytest.raises(MalformedError, match="--resources"):
        completed("cpus:many:x", "*", str(tmp_path))
