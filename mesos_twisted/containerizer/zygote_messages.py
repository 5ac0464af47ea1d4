"""What the agent asks the launcher and hears of it: values, and their frames.

The frames themselves are `zygote.protocol`'s; nothing here knows a connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from mesos_twisted.containerizer.core.container import Identity, Rlimit
from mesos_twisted.containerizer.zygote import protocol
from mesos_twisted.errors import MalformedError, RefusedError


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One process to start; empty paths and None as in `zygote.protocol`."""

    container_id: str
    file: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    stdout: str = ""
    stderr: str = ""
    identity: Identity | None = None
    rlimits: tuple[Rlimit, ...] = ()
    umask: int = 0o022
    nice: int | None = None
    no_new_privileges: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The process of a container; pid and start (clock ticks since boot) name it for ever."""

    container_id: str
    pid: int
    start_ticks: int


class LaunchFailedError(RefusedError):
    """The process could not be started; nothing of it is left."""

    def __init__(self, container_id: str, number: int, stage: str) -> None:
        super().__init__(
            f"The process of container {container_id} could not be started: "
            f"{stage} failed with '{os.strerror(number)}'."
        )
        self.container_id, self.errno, self.stage = container_id, number, stage


@dataclass(frozen=True, slots=True)
class Rusage:
    """What the first process and its waited-for children used."""

    user_us: int = 0
    system_us: int = 0
    max_rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What the launcher remembers of one container; states as in `zygote.protocol`."""

    container_id: str
    state: str
    pid: int
    start_ticks: int
    status: int
    stage: str
    rusage: Rusage


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """The sum over all live processes of a container."""

    user_us: int
    system_us: int
    rss_bytes: int
    processes: int
    threads: int


#: Called with container id, wait status (-1 when nobody could see it) and use of resources.
ExitListener = Callable[[str, int, Rusage], None]
#: What one frame holds.
Fields = list[bytes]


def encode_launch(number: int, request: LaunchRequest) -> bytes:
    """The LAUNCH frame; raises `MalformedError` where a text cannot be passed to a process."""
    r, who = request, request.identity
    fields = [
        b"LAUNCH",
        b"%d" % number,
        *(os.fsencode(t) for t in (r.container_id, r.file, r.cwd, r.stdout, r.stderr)),
        b"%d" % who.uid if who else b"",
        b"%d" % who.gid if who else b"",
        b",".join(b"%d" % g for g in who.groups) if who else b"",
        b"%o" % r.umask,
        b"" if r.nice is None else b"%d" % r.nice,
        b",".join(b"%d:%d:%d" % (x.resource, x.soft, x.hard) for x in r.rlimits),
        b"no_new_privs" if r.no_new_privileges else b"",
        b"%d" % len(r.argv),
        *(os.fsencode(a) for a in r.argv),
        *(os.fsencode(k) + b"=" + os.fsencode(v) for k, v in r.env),
    ]
    data = protocol.frame(fields)
    if data.count(b"\0", 4) != len(fields):
        raise MalformedError(
            f"Container {r.container_id} cannot be launched: an argument, a path or a variable "
            "of its environment holds a NUL."
        )
    return data


def read_started(fields: Fields) -> Started:
    """The answer to LAUNCH."""
    return Started(fields[2].decode(), int(fields[3]), int(fields[4]))


def read_rusage(fields: Fields) -> Rusage:
    """Three fields of EXITED or ENTRY."""
    user, system, kilobytes = (int(x) for x in fields)
    return Rusage(user, system, kilobytes * 1024)


def read_entry(f: Fields) -> Entry:
    """One ENTRY of the answer to LIST."""
    return Entry(
        f[2].decode(),
        f[3].decode(),
        int(f[4]),
        int(f[5]),
        int(f[6]),
        f[7].decode(),
        read_rusage(f[8:]),
    )
