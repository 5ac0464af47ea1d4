"""The two bridges of a laboratory, the way out to the world, and the cuts between nodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Interface
from pathlib import Path

from tools.lab import host, texts
from tools.lab.errors import LabError
from tools.lab.plan import Lab, Node


def up(lab: Lab) -> None:
    """Both bridges are up with their addresses, and nodes reach the world; again does no harm.

    Forwarding is switched on for the host and stays on: other programs may count on it by then.
    LabError when another network of the host has these addresses.
    """
    _refuse_taken(lab)
    for bridge, address in (
        (lab.management_bridge, f"{lab.gateway}/{lab.management.prefixlen}"),
        (lab.cluster_bridge, f"{lab.cluster[1]}/{lab.cluster.prefixlen}"),
    ):
        if not Path("/sys/class/net", bridge).exists():
            host.run("ip", "link", "add", bridge, "type", "bridge")
        host.run("ip", "address", "replace", address, "dev", bridge)
        host.run("ip", "link", "set", bridge, "up")
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    if forward.read_text().strip() != "1":
        forward.write_text("1\n")
    if not host.succeeds("nft", "list", "table", "ip", lab.table):
        host.run("nft", "-f", "-", text=texts.nat_rules(lab))


def down(lab: Lab) -> None:
    """Neither bridge nor table is left."""
    for family in ("ip", "bridge"):
        host.run("nft", "delete", "table", family, lab.table, check=False)
    for bridge in (lab.management_bridge, lab.cluster_bridge):
        if Path("/sys/class/net", bridge).exists():
            host.run("ip", "link", "delete", bridge)


def _refuse_taken(lab: Lab) -> None:
    ours = (lab.management_bridge, lab.cluster_bridge)
    for link in json.loads(host.run("ip", "-json", "-4", "address")):
        for address in link.get("addr_info", ()):
            if link["ifname"] in ours:
                continue
            there = IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
            for wanted in (lab.management, lab.cluster):
                if wanted.overlaps(there):
                    raise LabError(
                        f"{link['ifname']} of this host has {there}, which the laboratory"
                        f" {lab.name!r} wanted: choose a free /23, as in LAB_SUBNET=10.123.4.0/23."
                    )


def cut(
    lab: Lab, here: Sequence[Node], there: Sequence[Node], *, one_way: bool, percent: int
) -> None:
    """Frames between the two sides are dropped on the host's bridge, beside what is cut already."""
    rules = texts.cut_rules(lab, here, there, one_way=one_way, percent=percent)
    host.run("nft", "-f", "-", text=texts.fault_table(lab) + rules)


def heal(lab: Lab) -> None:
    """No frame is dropped any more."""
    host.run("nft", "delete", "table", "bridge", lab.table, check=False)


def cuts(lab: Lab) -> list[str]:
    """The rules of today's cuts, with nodes' names for those of interfaces."""
    said = host.run("nft", "list", "table", "bridge", lab.table, check=False)
    lines = [line.strip() for line in said.splitlines() if line.strip().endswith("drop")]
    for node in lab.nodes:
        lines = [line.replace(f'"{lab.cluster_port(node)}"', node.name) for line in lines]
    return [line.replace("iifname", "from").replace("oifname", "to") for line in lines]
