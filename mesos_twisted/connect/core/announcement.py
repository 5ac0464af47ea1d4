"""What a connector says of itself in ZooKeeper, and where it must not.

Frameworks that find masters there by themselves take the lowest node of a path, as
`election.membership` tells. So whoever announces itself at a path must be found under the same
address by everybody who reads it: that of a connector is the same loopback address everywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mesos_twisted.connect.core.address import Address, TcpAddress
from mesos_twisted.election.membership import Member, address_of, decode_info, members
from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.zookeeper.url import ZkUrl

#: What the pid of a connector begins with; a master's begins with `master@`.
_PID = "connect@"


def announced(addresses: Iterable[Address]) -> TcpAddress:
    """The listener that is announced: the first on IPv4, which every client understands.

    Raises MalformedError when there is none.
    """
    for address in addresses:
        if isinstance(address, TcpAddress) and ":" not in address.host:
            return address
    raise MalformedError(
        "--announce needs a TCP port on IPv4 loopback to name; add one like 127.0.0.1:5050 to"
        " --listen"
    )


def master_info(host: str, port: int, name: str) -> m.MasterInfo:
    """A connector as clients read it; `name` is its own, for operators who look."""
    return m.MasterInfo(
        id=name,
        # Network byte order, read on a machine of the other one, as Mesos has always written it.
        ip=int.from_bytes(ipaddress.IPv4Address(host).packed, "little"),
        port=port,
        pid=f"{_PID}{host}:{port}",
        hostname=host,
        address=m.Address(hostname=host, ip=host, port=port),
    )


def check_place(announce: ZkUrl, masters: ZkUrl | None) -> None:
    """Raises MalformedError when the place is the masters' own, as their URL tells."""
    if masters is None or not set(announce.hosts) & set(masters.hosts):
        return
    if announce.path == masters.path or announce.path.startswith(f"{masters.path}/"):
        raise MalformedError(
            f"--announce={announce} is where the masters contend; choose a path beside it, as"
            f" {masters.path}-local"
        )


def objection(path: str, ours: m.MasterInfo, nodes: dict[str, bytes]) -> str | None:
    """Why the connector must not announce itself at the path, given the nodes there; or None."""
    found = {member.name: member for member in members(nodes)}
    others = sorted(set(nodes) - set(found))
    if others:
        return (
            f"{path} in ZooKeeper holds other nodes ({', '.join(others[:3])}); give --announce a"
            " path of its own, as /mesos-local"
        )
    for name, member in found.items():
        info = _connector(member, nodes[name])
        if info is None:
            return (
                f"Masters contend at {path} in ZooKeeper ({name} is none of a connector); give"
                " --announce a path of its own, as /mesos-local"
            )
        if address_of(info) != address_of(ours):
            there, here = (f"{host}:{port}" for host, port in map(address_of, (info, ours)))
            return (
                f"Another connector announces {there} at {path} in ZooKeeper, and this one listens"
                f" on {here}: clients take the first they find there for the one of their own"
                " machine, so all that announce the same path must --listen on the same address"
            )
    return None


def _connector(member: Member, data: bytes) -> m.MasterInfo | None:
    try:
        info = decode_info(member, data)
    except MalformedError:
        return None
    return info if (info.pid or "").startswith(_PID) else None
