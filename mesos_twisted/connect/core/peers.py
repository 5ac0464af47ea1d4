"""Whose process is at the other end of a loopback connection, from the kernel's own table.

`/proc/net/tcp` and `tcp6` name the owner of each socket of this network namespace, the peer's end
of a loopback connection included. The text comes in; nothing is read here.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

_TIME_WAIT = "06"


def spelled(host: str, port: int) -> str:
    """An address as the kernel prints it: 32-bit words in the machine's order, then the port."""
    packed = ipaddress.ip_address(host).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def spelled_mapped(host: str, port: int) -> str:
    """An IPv4 address as a socket made for IPv6 has it."""
    return spelled(f"::ffff:{host}", port)


def owner(table: Iterable[str], local: str, remote: str) -> int | None:
    """The user id of the socket from `local` to `remote`; None when it is not in the table.

    A socket that no process holds any more (its inode is 0) is nobody's: the kernel calls it
    root's.
    """
    for line in table:
        words = line.split()
        if len(words) < 10 or words[1] != local or words[2] != remote:
            continue
        if words[3] != _TIME_WAIT and words[9] != "0" and words[7].isdecimal():
            return int(words[7])
    return None
