"""What a laboratory consists of: names, addresses and sizes, all of them from a few settings.

Everything here is computed, nothing is looked up: the same settings give the same plan in the
Vagrantfile, in `./lab` and in Molecule, and two laboratories of different names share no bridge, no
network interface, no subnet, no container and no nftables table. It knows neither LXC nor Vagrant.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from tools.lab.errors import LabError

DEFAULT_NAME = "lab"
DEFAULT_NODES = "3+2"
DEFAULT_MEMORY_MB = 1024
#: Under this a ZooKeeper, a master and apt do not fit together.
LEAST_MEMORY_MB = 384
GROUPS = ("zookeeper", "masters", "agents")
#: Pairs of /24 networks, from 10.64.0.0 to 10.95.255.0.
SLOTS = 4096
#: Linux allows 15 signs in an interface's name; the longest suffix of ours is `-99m`.
SHORT = 11
FIRST_HOST = 11
MOST_NODES = 99
NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Node:
    """One machine: `groups` are the inventory groups it is in; `index` counts from 0."""

    name: str
    groups: tuple[str, ...]
    index: int


@dataclass(frozen=True)
class Lab:
    """A laboratory of `nodes`, each with `memory_mb` MiB and `cpus` processors.

    By `management` the control host reaches the nodes, and they reach the world; over `cluster` the
    daemons speak, and it is the only network that faults cut.
    """

    name: str
    nodes: tuple[Node, ...]
    memory_mb: int
    cpus: int
    golden: bool
    management: IPv4Network
    cluster: IPv4Network

    @property
    def short(self) -> str:
        """The name as it begins names of interfaces: itself where it fits, else made short."""
        if len(self.name) <= SHORT:
            return self.name
        return self.name[:5].rstrip("-") + _digest(self.name).hex()[:5]

    @property
    def table(self) -> str:
        """The name of this laboratory's nftables tables."""
        return "mesos_lab_" + self.name.replace("-", "_")

    @property
    def management_bridge(self) -> str:
        """The bridge of the management network."""
        return f"{self.short}-m"

    @property
    def cluster_bridge(self) -> str:
        """The bridge of the cluster network."""
        return f"{self.short}-c"

    @property
    def gateway(self) -> IPv4Address:
        """The control host's address in the management network."""
        return self.management[1]

    def container(self, node: Node) -> str:
        """The container's name, which no node of another laboratory has."""
        return f"{self.name}-{node.name}"

    def management_address(self, node: Node) -> IPv4Address:
        """By which the control host reaches `node`."""
        return self.management[FIRST_HOST + node.index]

    def cluster_address(self, node: Node) -> IPv4Address:
        """By which the other nodes reach `node`."""
        return self.cluster[FIRST_HOST + node.index]

    def management_port(self, node: Node) -> str:
        """The host's end of `node`'s management interface."""
        return f"{self.short}-{node.index + 1}m"

    def cluster_port(self, node: Node) -> str:
        """The host's end of `node`'s cluster interface."""
        return f"{self.short}-{node.index + 1}c"

    def mac(self, node: Node, network: IPv4Network) -> str:
        """A pinned address: with a fresh one at each start, neighbours believe the old for long."""
        middle = (int(network.network_address) >> 8) & 0xFFFF
        return f"00:16:3e:{middle >> 8:02x}:{middle & 0xFF:02x}:{FIRST_HOST + node.index:02x}"

    def node(self, name: str) -> Node:
        """The node called `name`; LabError names those there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise LabError(f"The laboratory {self.name!r} has no node {name!r}; it has {known}.")

    def groups(self) -> dict[str, list[str]]:
        """Inventory group to names of nodes; groups without any are left out."""
        named = dict.fromkeys(group for node in self.nodes for group in node.groups)
        return {
            group: [node.name for node in self.nodes if group in node.groups] for group in named
        }


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def networks(name: str, subnet: str = "") -> tuple[IPv4Network, IPv4Network]:
    """Management and cluster network of the laboratory `name`, or the two halves of `subnet`."""
    if subnet:
        try:
            both = IPv4Network(subnet)
        except ValueError as error:
            raise LabError(f"LAB_SUBNET={subnet} is no network: {error}.") from None
        if both.prefixlen != 23:
            raise LabError(f"LAB_SUBNET={subnet} must be a /23: one half for each network.")
    else:
        slot = 0 if name == DEFAULT_NAME else 1 + int.from_bytes(_digest(name)[:4]) % (SLOTS - 1)
        both = IPv4Network(((10 << 24) + (64 << 16) + (slot << 9), 23))
    first, second = both.subnets(new_prefix=24)
    return first, second


def virtualbox_network(name: str) -> IPv4Network:
    """The cluster network in VirtualBox, which allows only 192.168.56.0/21 by itself."""
    third = 56 if name == DEFAULT_NAME else 56 + int.from_bytes(_digest(name)[:4]) % 8
    return IPv4Network(f"192.168.{third}.0/24")


def standard_nodes(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Names and groups for LAB_NODES: `3+2`, or a number of all nodes.

    Masters come first and have a ZooKeeper each. Of a single number, five and more have three
    masters, two to four have one, and one host is everything, without a ZooKeeper.
    """
    found = re.fullmatch(r"(\d{1,2})(?:\+(\d{1,2}))?", text.strip())
    if not found or not int(found[1]):
        raise LabError(
            f"LAB_NODES={text} is not understood: say masters+agents, as in 3+2, or how many."
        )
    if found[2] is None:
        total = int(found[1])
        if total == 1:
            return [("m1", ("masters", "agents"))]
        masters = 3 if total >= 5 else 1
        agents = total - masters
    else:
        masters, agents = int(found[1]), int(found[2])
    return [(f"m{n + 1}", ("zookeeper", "masters")) for n in range(masters)] + [
        (f"a{n + 1}", ("agents",)) for n in range(agents)
    ]


def _number(environment: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = environment.get(name, "") or str(default)
    if not text.isdecimal() or int(text) < least:
        raise LabError(f"{name}={text} must be a whole number of at least {least}.")
    return int(text)


def plan(
    environment: Mapping[str, str],
    *,
    name: str | None = None,
    nodes: Sequence[tuple[str, Sequence[str]]] | None = None,
) -> Lab:
    """The laboratory that the settings LAB_* of `environment` ask for.

    `name` and `nodes` (name and groups of each) go before the environment. LabError says which
    setting is wrong and what it may be.
    """
    name = name or environment.get("LAB_NAME") or DEFAULT_NAME
    if not NAME.fullmatch(name):
        raise LabError(
            f"LAB_NAME={name} must be 1 to 32 small letters, digits and dashes, beginning with a"
            " letter and not ending with a dash."
        )
    if nodes is None:
        nodes = standard_nodes(environment.get("LAB_NODES") or DEFAULT_NODES)
    if len(nodes) > MOST_NODES:
        raise LabError(f"A laboratory has at most {MOST_NODES} nodes, not {len(nodes)}.")
    if len({node for node, _ in nodes}) != len(nodes):
        raise LabError("Two nodes have the same name: " + ", ".join(node for node, _ in nodes))
    for node, _ in nodes:
        if not NAME.fullmatch(node):
            raise LabError(f"{node!r} is no name for a node: small letters, digits and dashes.")
    golden = (environment.get("LAB_GOLDEN") or "yes").lower()
    if golden not in ("yes", "no"):
        raise LabError(f"LAB_GOLDEN={golden} must be yes or no.")
    management, cluster = networks(name, environment.get("LAB_SUBNET", ""))
    return Lab(
        name=name,
        nodes=tuple(Node(node, tuple(groups), index) for index, (node, groups) in enumerate(nodes)),
        memory_mb=_number(environment, "LAB_MEMORY", DEFAULT_MEMORY_MB, LEAST_MEMORY_MB),
        cpus=_number(environment, "LAB_CPUS", 1, 1),
        golden=golden == "yes",
        management=management,
        cluster=cluster,
    )
