"""Which process is at the other end of a local connection, and is it one of a container's?

For executors that cannot send a token. Of a loopback connection the kernel says whose socket it is
(`/proc/net/tcp`, owner and inode), and some process holds it; of a Unix socket it says who
connected (SO_PEERCRED). That process must be the container's first process or descend from it,
or be of its session. Neither can be feigned: nobody joins a foreign session, and nobody chooses
another parent. An environment variable would prove nothing, so none is read.
"""

from __future__ import annotations

import os
import socket as sockets
import struct
from dataclasses import dataclass

_ESTABLISHED = "01"
_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Socket:
    """One end of a connection as the kernel tells it."""

    uid: int
    inode: int


@dataclass(slots=True)
class Caller:
    """Who connected to our Unix socket; `start` (clock ticks since boot) tells a reused pid.

    `proven` is the container that it was found to belong to.
    """

    pid: int
    uid: int
    start: int
    proven: str | None = None


def caller_of(connected: sockets.socket, proc: str = "/proc") -> Caller | None:
    """Who connected, by the kernel's word; None when it is gone already."""
    try:
        said = connected.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, _UCRED.size)
    except OSError:
        return None
    pid, uid, _ = _UCRED.unpack(said)
    seen = _stat(pid, proc)
    return None if seen is None else Caller(pid, uid, seen.start)


def is_member(caller: Caller, leader: int, uid: int | None, proc: str = "/proc") -> bool:
    """Is the caller, still alive, a process of the container whose first process is `leader`?"""
    if uid is not None and caller.uid != uid:
        return False
    seen = _stat(caller.pid, proc)
    if seen is None or seen.start != caller.start:
        return False
    pid, steps = caller.pid, 0
    while seen is not None and steps < 1000:
        if leader in (pid, seen.session):
            return True
        pid, steps = seen.parent, steps + 1
        seen = _stat(pid, proc) if pid > 1 else None
    return False


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    session: int
    start: int


def _stat(pid: int, proc: str) -> _Stat | None:
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            # The command may hold spaces and brackets; what follows its last one is fixed.
            words = stat.read().rpartition(")")[2].split()
        return _Stat(int(words[1]), int(words[3]), int(words[19]))
    except (OSError, ValueError, IndexError):
        return None


def find_socket(address: str, port: int, server_port: int, proc: str = "/proc") -> Socket | None:
    """The client's end of a loopback connection to `server_port`; None when it is gone."""
    if not address.startswith("127."):
        return None
    local = f"{_hex(address)}:{port:04X}"
    remote_port = f":{server_port:04X}"
    try:
        with open(f"{proc}/net/tcp", encoding="ascii") as table:
            next(table, None)
            for line in table:
                words = line.split()
                if (
                    words[1] == local
                    and words[2].endswith(remote_port)
                    and words[3] == _ESTABLISHED
                ):
                    return Socket(int(words[7]), int(words[9]))
    except (OSError, ValueError, IndexError):
        return None
    return None


def _hex(address: str) -> str:
    """The kernel's spelling: the address as a native 32-bit number, which is little-endian here."""
    return bytes(int(part) for part in reversed(address.split("."))).hex().upper()


def belongs(socket: Socket, leader: int, uid: int | None, proc: str = "/proc") -> bool:
    """Is the socket held by a process of the container whose first process is `leader`?

    `uid`: the user the container runs as, when it is known to be another than ours.
    """
    if uid is not None and socket.uid != uid:
        return False
    if not socket.inode:
        return False
    link = f"socket:[{socket.inode}]"
    if _holds(leader, link, proc):
        return True
    return any(_holds(pid, link, proc) for pid in members(leader, proc))


def members(leader: int, proc: str = "/proc") -> set[int]:
    """The processes that descend from the leader or are of its session, without itself."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for name in os.listdir(proc):
        if not name.isdecimal():
            continue
        try:
            with open(f"{proc}/{name}/stat", encoding="utf-8", errors="replace") as stat:
                # The command may hold spaces and brackets; what follows its last one is fixed.
                words = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(name)] = int(words[1])
        if int(words[3]) == leader:
            found.add(int(name))
    for pid in parents:
        at, steps = pid, 0
        while at > 1 and steps < 1000:
            if at == leader or at in found:
                found.add(pid)
                break
            at, steps = parents.get(at, 0), steps + 1
    found.discard(leader)
    return found


def _holds(pid: int, link: str, proc: str) -> bool:
    directory = f"{proc}/{pid}/fd"
    try:
        return any(os.readlink(f"{directory}/{fd}") == link for fd in os.listdir(directory))
    except OSError:
        return False
