"""Keep each sandbox's `stdout` and `stderr` below a size, by copying them away and truncating.

The task goes on writing to the same file (it was opened for appending), so nothing has to be told
to it. What a task asks for in `CONTAINER_LOGGER_*` is read as data; no command of a task is run.
All paths are walked by descriptor: a sandbox belongs to its task.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from mesos_twisted.errors import MalformedError
from mesos_twisted.files import walk
from mesos_twisted.units import parse_bytes

STREAMS = ("stdout", "stderr")
_PIECE = 1 << 20
_MIN_BYTES = 4096
_MAX_FILES = 100
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Limits:
    """A stream is rotated above `max_bytes`; `keep` older files stay. 0 bytes: never."""

    max_bytes: int
    keep: int


def limits_for(stream: str, env: Mapping[str, str], default: Limits) -> Limits:
    """The task's own limits where it set them well, else the agent's."""
    size = env.get(f"CONTAINER_LOGGER_MAX_{stream.upper()}_SIZE")
    keep = env.get(f"CONTAINER_LOGGER_LOGROTATE_{stream.upper()}_OPTIONS")
    max_bytes = default.max_bytes
    if size is not None:
        try:
            max_bytes = max(parse_bytes(size), _MIN_BYTES)
        except MalformedError:
            max_bytes = default.max_bytes
    return Limits(max_bytes, _rotate_option(keep, default.keep))


def _rotate_option(options: str | None, default: int) -> int:
    """`rotate N` out of logrotate's options; every other option is ignored."""
    for line in (options or "").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "rotate" and words[1].isdecimal():
            return min(int(words[1]), _MAX_FILES)
    return default


def rotate(work_dir: str, directory: str, limits: Mapping[str, Limits]) -> int:
    """Streams of one sandbox (relative) that were too long are rotated; gives how many.

    For a worker thread. A sandbox that is gone, or a stream that is no regular file, is left alone.
    """
    try:
        root = walk.open_root(work_dir)
    except OSError:
        return 0
    try:
        try:
            fd = walk.open_beneath(root, walk.components(directory))
        except (OSError, walk.OutsideError):
            return 0
        try:
            return sum(_rotate_one(fd, name, limit) for name, limit in limits.items())
        finally:
            os.close(fd)
    finally:
        os.close(root)


def _rotate_one(fd: int, name: str, limit: Limits) -> int:
    try:
        source = os.open(name, os.O_RDWR | _FLAGS, dir_fd=fd)
    except OSError:
        return 0
    try:
        status = os.fstat(source)
        # A hard link could be another's file: what is copied and cut must be the task's alone.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return 0
        if not limit.max_bytes or status.st_size <= limit.max_bytes:
            return 0
        for number in range(limit.keep, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                if number == limit.keep:
                    os.unlink(f"{name}.{number}", dir_fd=fd)
                else:
                    older = f"{name}.{number + 1}"
                    os.rename(f"{name}.{number}", older, src_dir_fd=fd, dst_dir_fd=fd)
        if limit.keep:
            _copy(fd, source, f"{name}.1", status)
        os.ftruncate(source, 0)
        return 1
    except OSError:
        return 0
    finally:
        os.close(source)


def _copy(fd: int, source: int, name: str, status: os.stat_result) -> None:
    target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=fd)
    try:
        os.fchmod(target, stat.S_IMODE(status.st_mode) & 0o777)
        if os.geteuid() == 0:
            os.fchown(target, status.st_uid, status.st_gid)
        at = 0
        while at < status.st_size:
            sent = os.sendfile(target, source, at, min(_PIECE, status.st_size - at))
            if not sent:
                break
            at += sent
    finally:
        os.close(target)
