"""The files and rules of a laboratory say what its plan says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.lab.errors import LabError
from tools.lab.plan import plan
from tools.lab.texts import (
    container_config,
    cut_rules,
    cut_rules_inside,
    fault_table,
    hosts,
    inventory,
    nat_rules,
    sides,
)

LAB = plan({})


def _config(*, unified: bool) -> dict[str, str]:
    text = container_config(LAB, LAB.nodes[3], Path("/r"), Path("/s"), unified=unified)
    return dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)


def test_a_container_has_both_networks_and_a_limit() -> None:
    """Addresses and hardware addresses are pinned, memory is limited."""
    config = _config(unified=False)
    assert config["lxc.rootfs.path"] == "overlayfs:/r:/s/delta"
    assert config["lxc.mount.auto"] == "proc:mixed sys:mixed cgroup:rw:force"
    assert config["lxc.net.0.ipv4.address"] == "10.64.0.14/24"
    assert config["lxc.net.0.ipv4.gateway"] == "10.64.0.1"
    assert config["lxc.net.1.ipv4.address"] == "10.64.1.14/24"
    assert config["lxc.net.1.hwaddr"] == LAB.mac(LAB.nodes[3], LAB.cluster)
    assert config["lxc.cgroup.memory.limit_in_bytes"] == "1024M"


def test_the_limit_is_in_the_hosts_version_of_control_groups() -> None:
    """A host with the second version only knows no memory.limit_in_bytes."""
    config = _config(unified=True)
    assert config["lxc.cgroup2.memory.max"] == "1024M"
    assert "lxc.cgroup.memory.limit_in_bytes" not in config


def test_a_node_knows_all_names_in_the_cluster_network() -> None:
    """Its own name is no loopback address: a master announces what its name resolves to."""
    lines = hosts(LAB, LAB.nodes[0]).splitlines()
    assert "10.64.1.11 m1" in lines and "10.64.1.15 a2" in lines
    assert [line for line in lines if line.startswith("127.")] == ["127.0.0.1 localhost"]


def test_the_inventory_has_productions_groups_and_addresses() -> None:
    """Reached over one network, clustered over the other."""
    answer = inventory(LAB, Path("/k"), Path("/h"), Path("/p"))
    assert answer["all"] == {
        "hosts": ["m1", "m2", "m3", "a1", "a2"],
        "vars": {"mesos_pki_dir": "/p"},
    }
    assert answer["masters"] == {"hosts": ["m1", "m2", "m3"]}
    assert answer["agents"] == {"hosts": ["a1", "a2"]}
    meta = answer["_meta"]
    assert isinstance(meta, dict)
    assert meta["hostvars"]["a2"]["ansible_host"] == "10.64.0.15"
    assert meta["hostvars"]["a2"]["mesos_address"] == "10.64.1.15"


def test_only_the_management_network_is_translated() -> None:
    """The cluster network has no way out."""
    assert "saddr 10.64.0.0/24" in nat_rules(LAB)
    assert "10.64.1." not in nat_rules(LAB)


def test_one_against_all_others() -> None:
    """Without a second side everyone else is it."""
    here, there = sides(LAB, "m2", None)
    assert [node.name for node in here] == ["m2"]
    assert [node.name for node in there] == ["m1", "m3", "a1", "a2"]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [("m1,m2", "m2", "both sides"), ("m1", "m9", "no node"), ("m1,m2,m3,a1,a2", None, "Nobody")],
)
def test_a_cut_that_makes_no_sense(first: str, second: str | None, said: str) -> None:
    """It is refused with a sentence."""
    with pytest.raises(LabError, match=said):
        sides(LAB, first, second)


def test_a_cut_goes_both_ways_over_the_cluster_ports() -> None:
    """What ssh goes over stays whole."""
    here, there = sides(LAB, "m1", "a1,a2")
    rules = cut_rules(LAB, here, there, one_way=False, percent=100).splitlines()
    assert [rule.split(" forward ")[1] for rule in rules] == [
        'iifname { "lab-1c" } oifname { "lab-4c", "lab-5c" } drop',
        'iifname { "lab-4c", "lab-5c" } oifname { "lab-1c" } drop',
    ]
    assert f"table bridge {LAB.table} " in fault_table(LAB)


def test_loss_one_way() -> None:
    """Part of what the first side says is lost, and nothing of what it hears."""
    here, there = sides(LAB, "m1", "m2")
    (rule,) = cut_rules(LAB, here, there, one_way=True, percent=30).splitlines()
    assert rule.endswith(
        'iifname { "lab-1c" } oifname { "lab-2c" } numgen random mod 100 < 30 drop'
    )


def test_the_same_cut_from_inside() -> None:
    """Each side drops what the other says; of one way only the second does."""
    addresses = {node.name: str(LAB.cluster_address(node)) for node in LAB.nodes}
    here, there = sides(LAB, "m1", "m2")

    def inside(index: int, *, one_way: bool) -> str:
        node = LAB.nodes[index]
        return cut_rules_inside(LAB, node, addresses, here, there, one_way=one_way, percent=100)

    assert "ip saddr { 10.64.1.12 } drop" in inside(0, one_way=False)
    assert "ip saddr { 10.64.1.11 } drop" in inside(1, one_way=False)
    assert inside(2, one_way=False) == ""
    assert inside(0, one_way=True) == ""
    assert "ip saddr { 10.64.1.11 } drop" in inside(1, one_way=True)
