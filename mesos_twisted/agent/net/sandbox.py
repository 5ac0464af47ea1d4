"""Sandboxes on disk: made with their owner, linked as `latest`, found again, deleted.

All below the work directory, walked by descriptor and never through a symlink: the lower
directories belong to tasks, which may rename and replace what is theirs at any moment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from mesos_twisted.agent.net.users import User
from mesos_twisted.files import walk

#: The way to a sandbox can be walked by its user, and not listed.
_PASSAGE = 0o711
_SANDBOX = 0o750
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_sandbox(
    work_dir: str, directory: str, user: User | None, subdirectories: tuple[str, ...] = ()
) -> None:
    """The sandbox (relative to the work directory) and its subdirectories are there, owned by the
    user, and `latest` beside it leads to it. Raises OSError or `OutsideError`."""
    root = walk.open_root(work_dir)
    try:
        parts = walk.components(directory)
        sandbox = _make(root, parts, user)
        try:
            for subdirectory in subdirectories:
                os.close(_make(sandbox, walk.components(subdirectory), user, _SANDBOX))
        finally:
            os.close(sandbox)
        if len(parts) > 1 and parts[-2] == "runs":
            _link_latest(root, parts)
    finally:
        os.close(root)


def _make(root: int, parts: tuple[str, ...], user: User | None, passage: int | None = None) -> int:
    """A descriptor of the last directory; those made on the way get `passage`'s mode, and the
    user as owner when `passage` is given."""
    fd = os.dup(root)
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        made = False
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=fd)
                made = True
            below = os.open(part, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
        if made or last:
            if user is not None and user.switch and (last or passage is not None):
                os.fchown(fd, user.uid, user.gid)
            os.fchmod(fd, _SANDBOX if last else _PASSAGE if passage is None else passage)
        elif user is not None and user.switch:
            _let_through(fd, user)
    return fd


def _let_through(fd: int, user: User) -> None:
    """A pod's directory can be walked (not listed) by a member that runs as another user."""
    status = os.fstat(fd)
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != user.uid and not mode & 0o001:
        os.fchmod(fd, mode | 0o001)


def _link_latest(root: int, parts: tuple[str, ...]) -> None:
    runs = walk.open_beneath(root, parts[:-1])
    try:
        name = f".latest-{secrets.token_hex(8)}"
        os.symlink(parts[-1], name, dir_fd=runs)
        os.rename(name, "latest", src_dir_fd=runs, dst_dir_fd=runs)
    finally:
        os.close(runs)


def latest(work_dir: str, runs: str) -> str | None:
    """The container id that `latest` of a `runs` directory (relative) names; None without one."""
    try:
        root = walk.open_root(work_dir)
    except OSError:
        return None
    try:
        fd = walk.open_beneath(root, walk.components(runs))
        try:
            target = os.readlink("latest", dir_fd=fd)
        finally:
            os.close(fd)
    except (OSError, walk.OutsideError):
        return None
    finally:
        os.close(root)
    return target if "/" not in target else None


def delete(work_dir: str, directory: str) -> None:
    """Nothing is left of the directory (relative to the work directory). For a worker thread.

    Raises OSError or `OutsideError`.
    """
    parts = walk.components(directory)
    if len(parts) < 2:
        # Everything the agent deletes lies deeper: this would be a bug's work.
        raise walk.OutsideError(f"'{directory}' is not a sandbox")
    root = walk.open_root(work_dir)
    try:
        try:
            parent = walk.open_beneath(root, parts[:-1])
        except FileNotFoundError:
            return
        try:
            walk.remove_tree(parent, parts[-1])
            with contextlib.suppress(OSError):
                # A `latest` that led here leads nowhere now.
                if os.readlink("latest", dir_fd=parent) == parts[-1]:
                    os.unlink("latest", dir_fd=parent)
        finally:
            os.close(parent)
    finally:
        os.close(root)


def disk_used(work_dir: str) -> float:
    """How full the work directory's file system is, 0.0 to 1.0. Raises OSError."""
    status = os.statvfs(work_dir)
    if not status.f_blocks:
        return 0.0
    return 1.0 - status.f_bavail / status.f_blocks
