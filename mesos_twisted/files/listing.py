"""What a directory holds and what a file says, in the words of `/files/browse` and `/read`."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import stat
from dataclasses import dataclass
from typing import Any

from mesos_twisted.protocol.generated import messages as m

#: One answer of READ_FILE and /files/read holds at most so many bytes.
READ_CAP_BYTES = 16 * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a listing; `path` is the virtual one."""

    path: str
    status: os.stat_result


def entries(fd: int, virtual: str) -> list[Entry]:
    """The directory's entries by name; what vanishes meanwhile is left out. Links are shown."""
    out: list[Entry] = []
    base = virtual.rstrip("/")
    for name in sorted(os.listdir(fd)):
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            continue
        out.append(Entry(f"{base}/{name}", status))
    return out


def to_json(entry: Entry) -> dict[str, Any]:
    """The row as `/files/browse` shows it."""
    status = entry.status
    return {
        "gid": group_name(status.st_gid),
        "mode": stat.filemode(status.st_mode),
        "mtime": float(int(status.st_mtime)),
        "nlink": status.st_nlink,
        "path": _printable(entry.path),
        "size": status.st_size,
        "uid": user_name(status.st_uid),
    }


def to_message(entry: Entry) -> m.FileInfo:
    """The row as LIST_FILES shows it."""
    status = entry.status
    return m.FileInfo(
        path=_printable(entry.path),
        nlink=status.st_nlink,
        size=status.st_size,
        mtime=m.TimeInfo(nanoseconds=int(status.st_mtime) * 1_000_000_000),
        mode=status.st_mode,
        uid=user_name(status.st_uid),
        gid=group_name(status.st_gid),
    )


def read(fd: int, offset: int, length: int | None) -> tuple[int, bytes]:
    """The file's size and up to `length` bytes from `offset`, never more than the cap."""
    size = os.fstat(fd).st_size
    if offset >= size:
        return size, b""
    wanted = size - offset if length is None else length
    return size, os.pread(fd, min(wanted, READ_CAP_BYTES), offset)


@functools.lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """The user's name, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@functools.lru_cache(maxsize=1024)
def group_name(gid: int) -> str:
    """The group's name, or the number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _printable(path: str) -> str:
    """A file name need not be UTF-8; JSON must be."""
    return path.encode("utf-8", "replace").decode("utf-8", "replace")
