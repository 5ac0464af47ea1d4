"""The wire of version 1, byte for byte: launchers of older releases serve newer agents with it.

What changes here needs another VERSION, and an agent that still speaks to OLDEST.
"""

from __future__ import annotations

from mesos_twisted.containerizer.core.container import Identity
from mesos_twisted.containerizer.zygote import protocol
from mesos_twisted.containerizer.zygote_messages import (
    LaunchRequest,
    encode_launch,
    read_entry,
    read_started,
)


def test_launch() -> None:
    request = LaunchRequest(
        "c.1",
        "/bin/sh",
        ("sh", "-c", "true"),
        (("A", "b"),),
        cwd="/s",
        stdout="o",
        stderr="e",
        identity=Identity(7, 8, (9, 10)),
        nice=3,
        no_new_privileges=True,
    )
    fields = b"LAUNCH 4 c.1 /bin/sh /s o e 7 8 9,10 22 3  no_new_privs 3 sh -c true A=b".split(b" ")
    body = b"\0".join(fields) + b"\0"
    assert encode_launch(4, request) == len(body).to_bytes(4, "big") + body


def test_answers_and_versions() -> None:
    started = read_started([b"LAUNCHED", b"4", b"c.1", b"17", b"99"])
    assert (started.pid, started.start_ticks) == (17, 99)
    entry = read_entry(b"ENTRY 5 c.1 exited 17 99 256  1 2 3".split(b" "))
    assert (entry.state, entry.status, entry.rusage.max_rss_bytes) == ("exited", 256, 3072)
    assert protocol.OLDEST == 1 <= protocol.VERSION
