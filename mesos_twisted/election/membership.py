"""Who leads, given the names below an election's path in ZooKeeper. Pure.

Each contender has an ephemeral node `<label>_<ten digits>`, numbered by ZooKeeper in the order of
their coming; the lowest number leads. Mesos writes `json.info_…` with a MasterInfo in JSON; older
ones wrote `info_…` or bare digits with forms we do not read, yet their nodes count. Names of any
other form (as `log_replicas`) are no contenders. Source: `src/zookeeper/group.cpp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m

#: What a contender's node begins with; ZooKeeper adds the number.
JSON_LABEL: Final = "json.info"
PREFIX: Final = f"{JSON_LABEL}_"

_NAME = re.compile(r"(?:(.+)_)?([0-9]{10})")


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A contender; members compare by their number."""

    number: int
    name: str

    @property
    def readable(self) -> bool:
        """Is its data a MasterInfo in JSON?"""
        return self.name.startswith(PREFIX)


def members(names: Iterable[str]) -> list[Member]:
    """The contenders among the names, the leader first."""
    found = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is not None:
            found.append(Member(int(match[2]), name))
    return sorted(found)


def leader(names: Iterable[str]) -> Member | None:
    """Who leads, if anyone contends."""
    return next(iter(members(names)), None)


def encode_info(info: m.MasterInfo) -> bytes:
    """What a contender's node holds."""
    return codec_json.encode(info)


def decode_info(member: Member, data: bytes) -> m.MasterInfo:
    """Who the member is. Raises MalformedError."""
    if not member.readable:
        raise MalformedError(
            f"The leading node '{member.name}' is of a form that was given up in Mesos 1.0"
        )
    return codec_json.decode(m.MasterInfo, data)


def same_master(info: m.MasterInfo, data: bytes) -> bool:
    """Does the data of a node name this very master (by its id, which is new at each start)?"""
    try:
        return codec_json.decode(m.MasterInfo, data).id == info.id
    except MalformedError:
        return False


def address_of(info: m.MasterInfo) -> tuple[str, int]:
    """Host and port where a master is reached: its hostname, else its IP address."""
    if info.address is not None:
        host = info.address.hostname or info.address.ip
        if host:
            return host, info.address.port
    if info.hostname:
        return info.hostname, info.port
    # Network byte order, read on a machine of the other one, as Mesos has always written it.
    return ".".join(str(byte) for byte in info.ip.to_bytes(4, "little")), info.port
