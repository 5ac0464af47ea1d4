"""The files of a node and the rules of its networks, as text. Pure: a plan in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.lab.errors import LabError
from tools.lab.plan import Lab, Node


def container_config(lab: Lab, node: Node, root: Path, state: Path, *, unified: bool) -> str:
    """The LXC configuration of `node`: an overlay on `root`, its changes below `state`.

    `unified` says whether the host has only the second version of control groups. With
    `cgroup:rw:force` systemd in the node finds the first version's controllers as the host has
    them; without, it believes them joint and a CPUQuota is ignored without a word.
    """
    limits = (
        [f"lxc.cgroup2.memory.max = {lab.memory_mb}M"]
        if unified
        else [f"lxc.cgroup.memory.limit_in_bytes = {lab.memory_mb}M"]
    )
    interfaces = []
    for number, (network, port, bridge, address) in enumerate(
        (
            (
                lab.management,
                lab.management_port(node),
                lab.management_bridge,
                lab.management_address(node),
            ),
            (lab.cluster, lab.cluster_port(node), lab.cluster_bridge, lab.cluster_address(node)),
        )
    ):
        interfaces += [
            f"lxc.net.{number}.type = veth",
            f"lxc.net.{number}.name = eth{number}",
            f"lxc.net.{number}.link = {bridge}",
            f"lxc.net.{number}.veth.pair = {port}",
            f"lxc.net.{number}.flags = up",
            f"lxc.net.{number}.hwaddr = {lab.mac(node, network)}",
            f"lxc.net.{number}.ipv4.address = {address}/{network.prefixlen}",
        ]
    lines = [
        "lxc.include = /usr/share/lxc/config/common.conf",
        "lxc.mount.auto =",
        "lxc.mount.auto = proc:mixed sys:mixed cgroup:rw:force",
        "lxc.apparmor.profile = unconfined",
        f"lxc.uts.name = {node.name}",
        f"lxc.rootfs.path = overlayfs:{root}:{state / 'delta'}",
        *interfaces,
        f"lxc.net.0.ipv4.gateway = {lab.gateway}",
        *limits,
    ]
    return "\n".join(lines) + "\n"


def hosts(lab: Lab, node: Node) -> str:
    """/etc/hosts of `node`: every name, its own too, is the address in the cluster network."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{lab.cluster_address(other)} {other.name}" for other in lab.nodes]
    return f"# The laboratory {lab.name}, seen from {node.name}.\n" + "\n".join(lines) + "\n"


def host_variables(lab: Lab, node: Node, key: Path, known_hosts: Path) -> dict[str, str]:
    """What Ansible needs to know of `node`, the same names as in a production inventory."""
    return {
        "ansible_host": str(lab.management_address(node)),
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known_hosts}",
        "mesos_address": str(lab.cluster_address(node)),
    }


def inventory(lab: Lab, key: Path, known_hosts: Path, pki: Path) -> dict[str, object]:
    """The laboratory as a dynamic inventory's answer to `--list`; its authorities go to `pki`."""
    answer: dict[str, object] = {group: {"hosts": names} for group, names in lab.groups().items()}
    answer["all"] = {
        "hosts": [node.name for node in lab.nodes],
        "vars": {"mesos_pki_dir": str(pki)},
    }
    answer["_meta"] = {
        "hostvars": {node.name: host_variables(lab, node, key, known_hosts) for node in lab.nodes}
    }
    return answer


def nat_rules(lab: Lab) -> str:
    """nftables: the nodes reach the world by the host's address; the world does not reach them."""
    return f"""table ip {lab.table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {lab.management} ip daddr != {lab.management} masquerade
  }}
}}
"""


def sides(lab: Lab, first: str, second: str | None) -> tuple[list[Node], list[Node]]:
    """The two sides of a cut, each of names with commas; without `second`, all the others."""
    here = [lab.node(name) for name in first.split(",")]
    if second is None:
        there = [node for node in lab.nodes if node not in here]
    else:
        there = [lab.node(name) for name in second.split(",")]
    both = [node.name for node in here if node in there]
    if both:
        raise LabError(f"{', '.join(both)} cannot be on both sides of a cut.")
    if not there:
        raise LabError("Nobody is on the other side of the cut.")
    return here, there


def fault_table(lab: Lab) -> str:
    """nftables: the table that cuts go into, empty; loading it again does no harm."""
    return (
        f"table bridge {lab.table} {{\n"
        "  chain forward { type filter hook forward priority 0; }\n"
        "}\n"
    )


def cut_rules(
    lab: Lab, here: Sequence[Node], there: Sequence[Node], *, one_way: bool, percent: int
) -> str:
    """nftables, for the host: drop `percent` of 100 frames from `here` to `there`, and back.

    Only the cluster network is cut, so that ssh and Ansible still reach both sides.
    """
    chance = "" if percent >= 100 else f"numgen random mod 100 < {percent} "
    lines = []
    for source, target in ((here, there), (there, here)):
        if one_way and source is not here:
            continue
        sources = ", ".join(f'"{lab.cluster_port(node)}"' for node in source)
        targets = ", ".join(f'"{lab.cluster_port(node)}"' for node in target)
        lines.append(
            f"add rule bridge {lab.table} forward"
            f" iifname {{ {sources} }} oifname {{ {targets} }} {chance}drop"
        )
    return "\n".join(lines) + "\n"


def cut_rules_inside(
    lab: Lab,
    node: Node,
    addresses: Mapping[str, str],
    here: Sequence[Node],
    there: Sequence[Node],
    *,
    one_way: bool,
    percent: int,
) -> str:
    """The same cut from inside `node`, for machines whose network is not the host's to filter.

    Both sides drop what comes in; of a cut that goes one way only `there` does. Empty when `node`
    has no part in it. `addresses` are those of the cluster network, by name.
    """
    if node in there:
        others = here
    elif node in here and not one_way:
        others = there
    else:
        return ""
    chance = "" if percent >= 100 else f"numgen random mod 100 < {percent} "
    senders = ", ".join(addresses[other.name] for other in others)
    return (
        f"add table inet {lab.table}\n"
        f"add chain inet {lab.table} input {{ type filter hook input priority -10; }}\n"
        f"add rule inet {lab.table} input ip saddr {{ {senders} }} {chance}drop\n"
    )
