"""The launcher's protocol over real processes: the C program and the Python one alike."""

from __future__ import annotations

import os
import signal

import pytest

from mesos_twisted.containerizer.zygote.protocol import MARKER
from mesos_twisted.testing.launcher import PATH, PYTHON, Launcher, alive, until


def test_exit_statuses_are_true(launcher: Launcher) -> None:
    """Codes and signals arrive as the kernel gave them."""
    for name, script in (("zero", "exit 0"), ("seven", "exit 7"), ("shot", "kill -9 $$")):
        assert launcher.launch(name, "/bin/sh", "-c", script)[0] == "LAUNCHED"
    assert os.waitstatus_to_exitcode(launcher.exit_of("zero")) == 0
    assert os.waitstatus_to_exitcode(launcher.exit_of("seven")) == 7
    assert os.waitstatus_to_exitcode(launcher.exit_of("shot")) == -9


def test_failures_name_their_stage(launcher: Launcher) -> None:
    """What keeps a process from starting is told with errno and stage, and remembered."""
    assert launcher.launch("a", "/nonexistent")[3:] == ["2", "exec"]
    assert launcher.launch("b", "/bin/true", cwd="/nonexistent")[3:] == ["2", "chdir"]
    assert launcher.launch("c", "/bin/true", stdout="/nonexistent/x")[3:] == ["2", "stdout"]
    assert launcher.launch("d", "/", stdout="")[3:] == ["13", "exec"]
    assert launcher.launch("e", "no-such-program")[3:] == ["2", "exec"]
    assert launcher.launch("a", "/bin/true")[3:] == ["2", "exec"]
    assert launcher.entries()["a"][0] == "failed"
    if os.geteuid() != 0:
        assert launcher.launch("f", "/bin/true", uid="1", gid="1")[4] in ("setgroups", "setgid")


def test_a_link_in_place_of_stdout_is_not_followed(launcher: Launcher) -> None:
    """A planted symbolic link cannot make the launcher write elsewhere."""
    target = launcher.directory / "target"
    (launcher.directory / "stdout").symlink_to(target)
    answer = launcher.launch("a", "/bin/true", stdout=str(launcher.directory / "stdout"))
    assert answer[0] == "FAILED" and answer[4] == "stdout"
    assert not target.exists()


def test_launch_is_idempotent(launcher: Launcher) -> None:
    """The same id starts one process however often it is asked for."""
    first = launcher.launch("a", "/bin/sleep", "60")
    assert launcher.launch("a", "/bin/sleep", "60")[2:] == first[2:]
    launcher.ask("DESTROY", "a")
    assert launcher.launch("a", "/bin/sleep", "60")[2:] == first[2:]


def test_environment_and_descriptors_are_clean(launcher: Launcher) -> None:
    """A task sees its own variables, the marker and three descriptors; it leads its session."""
    said = launcher.output("env", "env", env=f"{PATH}\nA=b=c\n{MARKER}=other")
    assert sorted(said.split("\n")) == sorted(
        ["", PATH, "A=b=c", f"{MARKER}={launcher.nonce()}:env"]
    )
    code = (
        "import os,signal;print(sorted(map(int,os.listdir('/proc/self/fd')))[:-1],"
        "os.getsid(0)==os.getpid(),signal.pthread_sigmask(0,()),os.getcwd(),oct(os.umask(0)),"
        "signal.getsignal(signal.SIGHUP).name)"
    )
    said = launcher.output("fds", PYTHON, "-S", "-E", "-c", code, cwd="/tmp", umask="27")
    assert said == "[0, 1, 2] True set() /tmp 0o27 SIG_DFL\n"


def test_rlimits_and_nice(launcher: Launcher) -> None:
    """Limits and niceness hold inside the task."""
    script = "ulimit -n; nice"
    said = launcher.output("a", "/bin/sh", "-c", script, rlimits="7:64:128,4:0:0", nice="5")
    assert said == "64\n5\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_user_is_switched(launcher: Launcher) -> None:
    """The task and the files of its output belong to the user, with exactly its groups."""
    os.chmod(launcher.directory, 0o777)
    said = launcher.output("a", "id", uid="65534", gid="65534", groups="65534,12345")
    assert "uid=65534" in said and "12345" in said and "(root)" not in said
    assert (launcher.directory / "a.out").stat().st_uid == 65534


def test_signals_reach_leader_and_group(launcher: Launcher) -> None:
    """SIGTERM to the group ends both shell and child; an unknown container takes none."""
    launcher.launch("a", "/bin/sh", "-c", "sleep 60 & wait")
    assert launcher.ask("SIGNAL", "a", "15", "group")[3] == "1"
    assert launcher.exit_of("a") == 15
    assert launcher.ask("SIGNAL", "a", "15", "leader")[3] == "0"
    assert launcher.ask("SIGNAL", "nobody", "15", "tree")[3] == "0"


ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()) + "\\n")
        time.sleep(60)
    os._exit(0)
os.wait()
if len(sys.argv) > 2: sys.exit(0)
time.sleep(60)
"""


@pytest.mark.parametrize("leader_leaves", [False, True])
def test_destroy_finds_who_escaped(launcher: Launcher, leader_leaves: bool) -> None:
    """A double fork into another session does not outlive DESTROY, nor the leader's exit."""
    note = launcher.directory / "pid"
    more = ["leave"] if leader_leaves else []
    launcher.launch("a", PYTHON, "-S", "-E", "-c", ESCAPE, str(note), *more)
    launcher.launch("other", "/bin/sleep", "60")
    until(lambda: note.exists() and note.read_text().endswith("\n"), "the escapee's note")
    pid = int(note.read_text())
    if leader_leaves:
        assert launcher.exit_of("a") == 0
    assert alive(pid)
    assert launcher.ask("USAGE", "a")[6] == ("1" if leader_leaves else "2")
    assert launcher.ask("DESTROY", "a")[0] == "DESTROYED"
    assert not alive(pid)
    assert launcher.entries()["other"][0] == "running"


def test_destroy_ends_a_tree_that_keeps_forking(launcher: Launcher) -> None:
    """A process that forks for ever, each child in a session of its own, ends."""
    code = (
        "import os,time\n"
        "for i in range(7):\n"
        "    if os.fork() == 0: os.setsid()\n"
        "    time.sleep(0.01)\n"
        "time.sleep(60)\n"
    )
    launcher.launch("a", PYTHON, "-S", "-E", "-c", code)
    until(lambda: int(launcher.ask("USAGE", "a")[6]) > 10, "ten processes")
    launcher.ask("DESTROY", "a")
    assert launcher.ask("USAGE", "a")[6] == "0"
    for _ in range(3):
        assert launcher.ask("SIGNAL", "a", "0", "tree")[3] == "0"


def test_usage_sums_the_tree(launcher: Launcher) -> None:
    """Processes, memory and processor time of every process of the container, and no other."""
    launcher.launch("a", "/bin/sh", "-c", "sleep 60 & while :; do :; done")
    launcher.launch("b", "/bin/sleep", "60")
    until(lambda: int(launcher.ask("USAGE", "a")[3]) >= 20000, "20 ms of processor time")
    until(lambda: launcher.ask("USAGE", "a")[6:] == ["2", "2"], "two processes")
    assert int(launcher.ask("USAGE", "a")[5]) > 100_000
    assert launcher.ask("USAGE", "b")[6] == "1"
    assert launcher.ask("USAGE", "nobody")[3:] == ["0"] * 5


def test_tasks_outlive_the_client(launcher: Launcher) -> None:
    """Who connects again hears of every task, also of those that ended meanwhile."""
    launcher.launch("stays", "/bin/sleep", "60")
    launcher.launch("goes", "/bin/sh", "-c", "exit 3")
    launcher.sock.close()
    launcher.connect()
    until(lambda: launcher.entries()["goes"][0] == "exited", "the exit")
    assert launcher.entries()["goes"][3] == str(3 << 8)
    assert launcher.entries()["stays"][0] == "running"
    assert launcher.ask("FORGET", "stays")[0] == "REFUSED"
    assert launcher.ask("FORGET", "goes")[0] == "FORGOTTEN"
    assert "goes" not in launcher.entries()


def test_journal_tells_what_a_dead_launcher_knew(launcher: Launcher) -> None:
    """After the launcher is killed, statuses are known; live tasks are seen, ended and cleared."""
    done, stays = launcher.launch("done", "/bin/false"), launcher.launch("s", "/bin/sleep", "60")
    launcher.launch("gone", "/bin/sh", "-c", "exec sleep 60")
    launcher.launch("failed", "/nonexistent")
    launcher.exit_of("done")
    assert done[0] == "LAUNCHED"
    os.kill(launcher.pid, signal.SIGKILL)
    assert launcher.sock.recv(1) == b""
    gone = launcher.journalled_pid("gone")
    os.kill(gone, signal.SIGKILL)
    until(lambda: not alive(gone), "the end of a task")
    launcher.start()
    states = {name: entry[0] for name, entry in launcher.entries().items()}
    assert states == {"done": "exited", "s": "orphaned", "gone": "lost", "failed": "failed"}
    assert launcher.entries()["done"][3] == str(1 << 8)
    launcher.ask("DESTROY", "s")
    assert launcher.exit_of("s") == -1
    assert not alive(int(stays[3]))


def test_two_hundred_at_once(launcher: Launcher) -> None:
    """Pipelined launches all start and all end, each told once."""
    numbers = [launcher.launch_later(f"t{i}", "/bin/true") for i in range(200)]
    pids = {launcher.hear(n)[3] for n in numbers}
    assert len(pids) == 200
    assert {launcher.exit_of(f"t{i}") for i in range(200)} == {0}
    for i in range(200):
        assert launcher.ask("DESTROY", f"t{i}")[0] == "DESTROYED"
        assert launcher.ask("FORGET", f"t{i}")[0] == "FORGOTTEN"
    stats = launcher.ask("STATS")
    assert stats[stats.index("known") + 1] == "0"
    if os.geteuid() == 0:  # the launcher hides its own /proc entry from other users
        assert not [n for n in os.listdir(f"/proc/{launcher.pid}/fd") if int(n) > 12]


def test_nonsense_is_refused(launcher: Launcher) -> None:
    """An unknown request, a bad id or a bare LAUNCH gets a sentence; broken framing a hang-up."""
    assert launcher.ask("DANCE")[0] == "REFUSED"
    assert launcher.ask("DESTROY", "a/b")[0] == "REFUSED"
    assert launcher.ask("LAUNCH", "a")[0] == "REFUSED"
    assert launcher.ask("LAUNCH", "a", "f", *[""] * 10, "3", "x")[0] == "REFUSED"
    assert launcher.ask("PING")[0] == "PONG"
    launcher.sock.sendall(b"\xff\xff\xff\xff")
    assert launcher.sock.recv(1) == b""
    launcher.connect()


def test_shutdown_spares_running_tasks(launcher: Launcher) -> None:
    """A launcher with live tasks does not end unless forced, and a second one is not started."""
    launcher.launch("a", "/bin/sleep", "60")
    assert launcher.ask("SHUTDOWN")[0] == "REFUSED"
    before = launcher.pid
    launcher.start()
    assert launcher.pid == before


def test_left_alone_it_ends(launcher: Launcher) -> None:
    """Without a client and without a task the launcher leaves, and its socket with it."""
    first = launcher.pid
    launcher.ask("SHUTDOWN")
    until(lambda: not alive(first), "the first launcher's end")
    launcher.start(idle_s=2)  # long enough to connect first
    pid = launcher.pid
    launcher.sock.close()
    until(lambda: not alive(pid) and not launcher.socket.exists(), "the launcher's end")
    launcher.start()


SWARM = """
import os, sys, time
for _ in range(300):
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
        os._exit(0)
    os.wait()
open(sys.argv[1], "w").close()
time.sleep(60)
"""


def test_destroy_ends_a_swarm(launcher: Launcher) -> None:
    """Hundreds of orphans, each in a session of its own."""
    ready = launcher.directory / "ready"
    launcher.launch("a", PYTHON, "-S", "-E", "-c", SWARM, str(ready))
    launcher.launch("other", "/bin/sleep", "60")
    until(ready.exists, "the swarm")
    assert int(launcher.ask("USAGE", "a")[6]) > 300
    assert launcher.ask("DESTROY", "a")[0] == "DESTROYED"
    assert launcher.ask("USAGE", "a")[6] == "0"
    assert launcher.entries()["other"][0] == "running"
