"""The values a containerizer speaks in: what to run, how it came out, what it used.

No process, path or clock is touched here. Amounts are integers: thousandths of a CPU, bytes,
microseconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NewType

from mesos_twisted.containerizer.core.lifecycle import ContainerState

#: 1 to 255 of `A-Za-z0-9._-`; a nested container is `parent.child`.
ContainerId = NewType("ContainerId", str)

UNLIMITED = -1


class Scope(enum.Enum):
    """Whom a signal reaches: the first process, its process group, or every process."""

    LEADER = "leader"
    GROUP = "group"
    TREE = "tree"


@dataclass(frozen=True, slots=True)
class Rlimit:
    """One POSIX limit: the kernel's number (`resource.RLIMIT_*`), -1 for no limit."""

    resource: int
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Identity:
    """The numbers a task runs under, resolved before launch."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """What to run. `shell`: run `argv[0]` by `/bin/sh -c`; otherwise `file` (or `argv[0]`) with
    `argv` as its whole argument vector. `env` is complete: nothing is inherited. Empty `stdout`
    or `stderr` discards. `user` None means the agent's own."""

    argv: tuple[str, ...]
    shell: bool = False
    file: str | None = None
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cwd: str = "/"
    user: str | None = None
    stdout: str = ""
    stderr: str = ""
    rlimits: tuple[Rlimit, ...] = ()
    umask: int = 0o022
    nice: int | None = None
    no_new_privileges: bool = False
    cpus_milli: int = 0
    mem_bytes: int = 0
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The amounts a container may use from now on."""

    cpus_milli: int
    mem_bytes: int
    disk_bytes: int | None = None


class Launched(enum.Enum):
    """How a launch came out when it did not fail."""

    STARTED = "started"
    ALREADY = "already"
    NOT_SUPPORTED = "not_supported"


@dataclass(frozen=True, slots=True)
class LaunchOutcome:
    """`pid` of the first process; `problem` is a sentence when nothing runs."""

    result: Launched | None
    pid: int = 0
    problem: str | None = None

    @property
    def running(self) -> bool:
        return self.problem is None and self.result is not Launched.NOT_SUPPORTED


@dataclass(frozen=True, slots=True)
class Limitation:
    """An isolator's verdict that a container used too much; `reason` is Mesos's name of it."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Termination:
    """How a container ended. `status` is a wait status (`os.waitstatus_to_exitcode`), None when
    nobody could see it. `reason` is a task status reason, None for a plain exit."""

    status: int | None
    message: str
    reason: str | None = None
    user_us: int = 0
    system_us: int = 0
    max_rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container's processes use now; None where nobody measures it."""

    cpus_user_us: int | None = None
    cpus_system_us: int | None = None
    cpus_limit_milli: int | None = None
    mem_rss_bytes: int | None = None
    mem_limit_bytes: int | None = None
    processes: int | None = None
    threads: int | None = None
    disk_used_bytes: int | None = None
    disk_limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """What is known of a container right now."""

    container_id: ContainerId
    state: ContainerState
    pid: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """A container found again after a restart: running, or ended with how."""

    container_id: ContainerId
    pid: int
    termination: Termination | None
