"""systemd hears of readiness, and of life only while the loop is quick."""

import socket
from pathlib import Path

from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.systemd import LoopWatch, Notifier, Standing


def listen(path: Path) -> socket.socket:
    """A NOTIFY_SOCKET."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    listener.setblocking(False)
    return listener


def heard(listener: socket.socket) -> list[bytes]:
    """Everything sent so far."""
    out: list[bytes] = []
    while True:
        try:
            out.append(listener.recv(4096))
        except BlockingIOError:
            return out


def test_states_are_sent(tmp_path: Path) -> None:
    """Each state is one datagram."""
    with listen(tmp_path / "n") as listener:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")})
        notifier.ready("Leading")
        notifier.stopping()
        assert heard(listener) == [b"READY=1\nSTATUS=Leading", b"STOPPING=1"]


def test_without_systemd_nothing_happens() -> None:
    """No socket, no error, no watchdog."""
    notifier = Notifier({})
    notifier.ready("x")
    assert notifier.watchdog_s is None


def test_a_late_loop_is_not_pinged_for(tmp_path: Path) -> None:
    """The ping stops while timers come late, and returns with them."""
    with listen(tmp_path / "n") as listener:
        clock = Clock()
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "4000000"})
        watch = LoopWatch(Timers(clock), notifier, max_lag_s=5.0)
        clock.pump([1.0, 1.0])
        assert heard(listener)[-1:] == [b"WATCHDOG=1"]
        clock.advance(20.0)
        assert watch.lag_s == 19.0 and heard(listener) == []
        clock.pump([1.0, 1.0])
        assert heard(listener)[-1:] == [b"WATCHDOG=1"]
        watch.stop()
        assert not clock.getDelayedCalls()


def test_a_loop_that_stays_late_is_seen_as_late() -> None:
    """Lateness counts from the time a look was due, also when the look before was as late."""
    clock = Clock()
    told: list[float] = []
    watch = LoopWatch(Timers(clock), Notifier({}), 5.0, beat_s=1.0, observed=told.append)
    clock.pump([1.25, 1.0, 1.0])
    assert told == [0.25, 0.25, 0.25]
    clock.pump([0.75, 1.0])
    assert told[3:] == [0.0, 0.0]
    watch.stop()


def test_who_is_stuck_is_not_pinged_for(tmp_path: Path) -> None:
    """Each new status is told once; the ping stops with the first that is stuck, and returns."""
    with listen(tmp_path / "n") as listener:
        clock = Clock()
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "4000000"})
        stands = [Standing("serving")]
        watch = LoopWatch(Timers(clock), notifier, 5.0, standing=lambda: stands[0])
        clock.advance(1.0)
        assert heard(listener) == [b"STATUS=serving", b"WATCHDOG=1"]
        stands[0] = Standing("waiting for the disk", stuck=True)
        clock.pump([1.0] * 20)
        assert heard(listener) == [b"STATUS=waiting for the disk"]
        stands[0] = Standing("serving")
        clock.advance(1.0)
        assert heard(listener) == [b"STATUS=serving", b"WATCHDOG=1"]
        watch.stop()
