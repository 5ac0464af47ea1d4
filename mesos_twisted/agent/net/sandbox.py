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
#: Frameworks whose executors' directory is kept open.
_WAYS = 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Sandboxes:
    """Makes sandboxes below one work directory.

    The way to a framework's executors is walked once and kept open: with thousands of short tasks
    most of the cost would be walking it. It is used only while the path leads to that directory.
    """

    def __init__(self, work_dir: str) -> None:
        """`work_dir` is absolute and has no symlink."""
        self._work_dir = work_dir
        #: Components below the work directory -> descriptor and identity; the oldest goes first.
        self._ways: dict[tuple[str, ...], tuple[int, tuple[int, int]]] = {}

    def make(self, directory: str, user: User | None, subdirectories: tuple[str, ...] = ()) -> None:
        """The sandbox (relative to the work directory) and its subdirectories are there, owned by
        the user, and `latest` beside it leads to it. Raises OSError or `OutsideError`."""
        parts = walk.components(directory)
        if len(parts) < 4 or parts[-2] != "runs":
            root = walk.open_root(self._work_dir)
            try:
                sandbox = _make(root, parts, user)
            finally:
                os.close(root)
        else:
            runs, fresh = self._runs(parts, user)
            try:
                sandbox = _make(runs, parts[-1:], user)
                try:
                    _link_latest(runs, parts[-1], fresh)
                except BaseException:
                    os.close(sandbox)
                    raise
            finally:
                os.close(runs)
        try:
            for subdirectory in subdirectories:
                os.close(_make(sandbox, walk.components(subdirectory), user, _SANDBOX))
        finally:
            os.close(sandbox)

    def close(self) -> None:
        """Nothing is kept open; it can be used again."""
        for fd, _ in self._ways.values():
            os.close(fd)
        self._ways.clear()

    def _runs(self, parts: tuple[str, ...], user: User | None) -> tuple[int, bool]:
        """A descriptor of `<executor>/runs`, and whether that was made just now."""
        executor, _ = _step(self._executors(parts[:-3], user), parts[-3], user, None, False)
        try:
            return _step(executor, "runs", user, None, False)
        finally:
            os.close(executor)

    def _executors(self, way: tuple[str, ...], user: User | None) -> int:
        """A descriptor of the directory at `way`, made when it is not there; it stays ours."""
        known = self._ways.get(way)
        if known is not None:
            try:
                status = os.stat(f"{self._work_dir}/{'/'.join(way)}")
                if (status.st_dev, status.st_ino) == known[1]:
                    return known[0]
            except OSError:
                pass  # deleted or replaced meanwhile: walk it anew
            os.close(self._ways.pop(way)[0])
        root = walk.open_root(self._work_dir)
        try:
            fd = os.dup(root)
            for part in way:
                try:
                    below, _ = _step(fd, part, user, None, False)
                finally:
                    os.close(fd)
                fd = below
        finally:
            os.close(root)
        if len(self._ways) >= _WAYS:
            os.close(self._ways.pop(next(iter(self._ways)))[0])
        status = os.fstat(fd)
        self._ways[way] = (fd, (status.st_dev, status.st_ino))
        return fd


def _make(root: int, parts: tuple[str, ...], user: User | None, passage: int | None = None) -> int:
    """A descriptor of the last directory; those made on the way get `passage`'s mode, and the
    user as owner when `passage` is given."""
    fd = os.dup(root)
    for index, part in enumerate(parts):
        try:
            below, _ = _step(fd, part, user, passage, index == len(parts) - 1)
        finally:
            os.close(fd)
        fd = below
    return fd


def _step(
    fd: int, part: str, user: User | None, passage: int | None, last: bool
) -> tuple[int, bool]:
    """A descriptor of the directory `part` in `fd`, and whether it was made just now."""
    mode = _SANDBOX if last else _PASSAGE if passage is None else passage
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(part, mode, dir_fd=fd)
        made = True
    below = os.open(part, _DIRECTORY, dir_fd=fd)
    try:
        if made or last:
            status = os.fstat(below)
            if user is not None and user.switch and (last or passage is not None):
                if (status.st_uid, status.st_gid) != (user.uid, user.gid):
                    os.fchown(below, user.uid, user.gid)
            if stat.S_IMODE(status.st_mode) != mode:  # a umask took something away
                os.fchmod(below, mode)
        elif user is not None and user.switch:
            _let_through(below, user)
    except BaseException:
        os.close(below)
        raise
    return below, made


def _let_through(fd: int, user: User) -> None:
    """A pod's directory can be walked (not listed) by a member that runs as another user."""
    status = os.fstat(fd)
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != user.uid and not mode & 0o001:
        os.fchmod(fd, mode | 0o001)


def _link_latest(runs: int, container: str, fresh: bool) -> None:
    if fresh:
        # Nobody has looked here before, so nobody can find it missing for a moment.
        with contextlib.suppress(FileExistsError):
            os.symlink(container, "latest", dir_fd=runs)
            return
    name = f".latest-{secrets.token_hex(8)}"
    os.symlink(container, name, dir_fd=runs)
    os.rename(name, "latest", src_dir_fd=runs, dst_dir_fd=runs)


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
