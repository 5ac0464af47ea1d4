"""Virtual paths to real files: who may see what, then browse, read and download it.

A root is a real directory or file shown under a virtual path. Fixed roots (the daemon's log) are
attached; sandboxes come from a resolver, asked per request, so nothing grows with their number.
This module knows no HTTP.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from mesos_twisted.errors import Problem
from mesos_twisted.files import listing, walk
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import Authorizer, ObjectRef
from mesos_twisted.security.core.principal import Principal


@dataclass(frozen=True, slots=True)
class Root:
    """A real, absolute path, and what one must be allowed to do to see it."""

    path: str
    action: Action
    object: ObjectRef


#: A virtual path's root and the parts beneath it, or None when it is not of this resolver's kind.
Resolver = Callable[[str], "tuple[Root, tuple[str, ...]] | None"]

NOT_FOUND = Problem("not-found", "No such file or directory.\n")


class FileStore:
    """The files of one daemon. Every answer is a value or a `Problem` with one of the codes
    `invalid`, `not-found`, `forbidden`."""

    def __init__(self, authorizer: Authorizer, resolvers: tuple[Resolver, ...] = ()) -> None:
        self._authorizer = authorizer
        self._resolvers = resolvers
        self._attached: dict[str, Root] = {}

    def attach(self, virtual: str, root: Root) -> None:
        """`root` is shown under `virtual`, which has no slash at its end."""
        self._attached[virtual.rstrip("/")] = root

    def detach(self, virtual: str) -> None:
        """Not shown any more; unknown paths are fine."""
        self._attached.pop(virtual.rstrip("/"), None)

    def attached(self) -> dict[str, str]:
        """Virtual path to real path, of the fixed roots."""
        return {virtual: root.path for virtual, root in self._attached.items()}

    def browse(self, virtual: str, principal: Principal) -> list[listing.Entry] | Problem:
        """The entries of a directory; none for a file, as in Mesos."""
        fd = self._open(virtual, principal)
        if isinstance(fd, Problem):
            return fd
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                return []
            return listing.entries(fd, virtual)
        finally:
            os.close(fd)

    def read(
        self, virtual: str, offset: int, length: int | None, principal: Principal
    ) -> tuple[int, bytes] | Problem:
        """Size and bytes; at most 16 pages, empty at or past the end."""
        fd = self.open_file(virtual, principal)
        if isinstance(fd, Problem):
            return fd
        try:
            return listing.read(fd, offset, length)
        finally:
            os.close(fd)

    def open_file(self, virtual: str, principal: Principal) -> int | Problem:
        """A descriptor of an ordinary file; the caller closes it."""
        fd = self._open(virtual, principal)
        if isinstance(fd, Problem):
            return fd
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        os.close(fd)
        if stat.S_ISDIR(mode):
            return Problem("invalid", "Cannot read a directory.\n")
        return Problem("invalid", "Cannot read what is not a regular file.\n")

    def _open(self, virtual: str, principal: Principal) -> int | Problem:
        try:
            found = self._find(virtual)
        except walk.OutsideError as error:
            return Problem("invalid", f"{error}.\n")
        if found is None:
            return NOT_FOUND
        root, parts = found
        verdict = self._authorizer.judge(principal, root.action, root.object)
        if not verdict.allowed:
            return Problem("forbidden", verdict.reason + "\n")
        try:
            return _open_at(root.path, parts)
        except walk.OutsideError as error:
            return Problem("invalid", f"{error}.\n")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return NOT_FOUND
            return Problem("invalid", f"Failed to open '{virtual}': {error.strerror}.\n")

    def _find(self, virtual: str) -> tuple[Root, tuple[str, ...]] | None:
        parts = walk.components(virtual)
        for end in range(len(parts), -1, -1):
            for prefix in ("/" + "/".join(parts[:end]), "/".join(parts[:end])):
                root = self._attached.get(prefix)
                if root is not None:
                    return root, parts[end:]
        for resolve in self._resolvers:
            found = resolve(virtual)
            if found is not None:
                return found
        return None


def _open_at(root: str, parts: tuple[str, ...]) -> int:
    if parts:
        root_fd = walk.open_root(root)
    else:
        parent, _, name = root.rstrip("/").rpartition("/")
        root_fd = walk.open_root(parent or "/")
        parts = (name,) if name else ()
        if not parts:
            return root_fd
        root = parent or "/"
    try:
        return walk.open_beneath(root_fd, parts, root)
    finally:
        os.close(root_fd)
