"""Open what lies beneath a directory, and nothing else, whatever its owner does meanwhile.

Each component is opened relative to the descriptor of the one before, never through a symlink. A
link met on the way is read and its target walked the same way: one that leads outside is refused.
Nothing here is resolved by path, so renaming directories during a walk gains nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

from mesos_twisted.errors import RefusedError

#: As the kernel's own limit.
MAX_LINKS = 40
#: Levels removed at a time.
MAX_DEPTH = 100
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class OutsideError(RefusedError):
    """A path, or a link on its way, leads out of its root."""


def components(path: str) -> tuple[str, ...]:
    """The parts of a path; empty ones and `.` are dropped, `..` and NUL raise `OutsideError`."""
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in path:
        raise OutsideError("The path may not contain '..'")
    return parts


def open_root(root: str) -> int:
    """A descriptor of an absolute directory, no component of which may be a symlink.

    Raises OSError. The caller closes it.
    """
    fd = os.open("/", _DIRECTORY)
    for part in components(root):
        try:
            below = os.open(part, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def open_beneath(root_fd: int, parts: Sequence[str], root: str | None = None) -> int:
    """A descriptor of the file or directory `parts` beneath `root_fd`; the caller closes it.

    Links that stay beneath the root are followed; an absolute one only when it begins with `root`,
    the root's own path. Raises `OutsideError` or OSError. FIFOs and devices are not waited for.
    """
    stack = [os.dup(root_fd)]
    waiting = list(reversed(parts))
    links = 0
    try:
        while waiting:
            part = waiting.pop()
            if part == "..":
                if len(stack) == 1:
                    raise OutsideError("A symbolic link on the path leads outside")
                os.close(stack.pop())
                continue
            try:
                flags = _DIRECTORY if waiting else _FILE
                stack.append(os.open(part, flags, dir_fd=stack[-1]))
            except OSError as error:
                # A link under O_DIRECTORY|O_NOFOLLOW is ENOTDIR, alone ELOOP.
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                target = _link_target(part, stack[-1])
                if target is None:
                    raise
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part) from None
                if target.startswith("/"):
                    target = _below(target, root)
                    while len(stack) > 1:
                        os.close(stack.pop())
                waiting += [p for p in reversed(target.split("/")) if p not in ("", ".")]
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


def _link_target(name: str, dir_fd: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=dir_fd)
    except OSError:
        return None


def _below(target: str, root: str | None) -> str:
    if root is None or not (target + "/").startswith(root.rstrip("/") + "/"):
        raise OutsideError("A symbolic link on the path leads outside")
    return target[len(root.rstrip("/")) :]


def is_regular(fd: int) -> bool:
    """Is this an ordinary file?"""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def remove_tree(root_fd: int, name: str) -> None:
    """Nothing called `name` is left in the directory; symlinks are removed, never followed.

    Raises OSError for what cannot be removed, also when someone still writes there; a missing name
    is fine. For a worker thread: it takes as long as the tree is large. What is very deep is moved
    up first, so depth exhausts neither the stack nor the descriptors.
    """
    waiting = [name]
    count = 0
    while waiting:
        moved: list[tuple[int, str]] = []
        _remove(root_fd, waiting[-1], 0, moved)
        if not moved:
            waiting.pop()
        for dir_fd, deep in moved:
            count += 1
            up = f".removing-{os.getpid()}-{count}"
            try:
                os.rename(deep, up, src_dir_fd=dir_fd, dst_dir_fd=root_fd)
            finally:
                os.close(dir_fd)
            waiting.append(up)


def _remove(dir_fd: int, name: str, depth: int, moved: list[tuple[int, str]]) -> None:
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=dir_fd)
        return
    if depth >= MAX_DEPTH:
        os.close(fd)
        moved.append((os.dup(dir_fd), name))
        return
    try:
        status = os.fstat(fd)
        if status.st_mode & 0o700 != 0o700 and status.st_uid == os.geteuid():
            os.fchmod(fd, 0o700)
        for entry in os.listdir(fd):
            _remove(fd, entry, depth + 1, moved)
    finally:
        os.close(fd)
    if not moved:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=dir_fd)
