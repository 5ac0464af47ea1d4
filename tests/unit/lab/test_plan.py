"""A laboratory's names and addresses come from its settings alone."""

from __future__ import annotations

import itertools

import pytest

from tools.lab.errors import LabError
from tools.lab.plan import Lab, networks, plan, standard_nodes, virtualbox_network


def test_without_settings_five_nodes_fit_six_gigabytes() -> None:
    """Three ZooKeepers with masters, two agents, 1 GiB each."""
    lab = plan({})
    assert lab.groups() == {
        "zookeeper": ["m1", "m2", "m3"],
        "masters": ["m1", "m2", "m3"],
        "agents": ["a1", "a2"],
    }
    assert lab.memory_mb * len(lab.nodes) <= 6 * 1024
    assert [str(lab.cluster_address(node)) for node in lab.nodes] == [
        f"10.64.1.{last}" for last in range(11, 16)
    ]


@pytest.mark.parametrize(
    ("text", "masters", "agents"),
    [("3+2", 3, 2), ("5", 3, 2), ("7", 3, 4), ("3", 1, 2), ("2", 1, 1), ("1+0", 1, 0)],
)
def test_nodes_by_number(text: str, masters: int, agents: int) -> None:
    """LAB_NODES says masters and agents, or how many in all."""
    groups = [groups for _, groups in standard_nodes(text)]
    assert groups == [("zookeeper", "masters")] * masters + [("agents",)] * agents


def test_one_node_is_everything() -> None:
    """A single node is master and agent and has no ZooKeeper."""
    assert standard_nodes("1") == [("m1", ("masters", "agents"))]


def _owned(lab: Lab) -> set[str]:
    """Everything of a laboratory that the host has only one of."""
    owned = {lab.table, lab.management_bridge, lab.cluster_bridge}
    owned |= {str(lab.management), str(lab.cluster)}
    for node in lab.nodes:
        owned |= {lab.container(node), lab.management_port(node), lab.cluster_port(node)}
        owned |= {lab.mac(node, lab.management), lab.mac(node, lab.cluster)}
    return owned


def test_laboratories_share_nothing() -> None:
    """Names, bridges, ports, subnets, tables and hardware addresses differ between laboratories."""
    names = ["lab", "lab2", "mol-default", "mol-upgrade", "mol-reconfigure", "mol-reconfigured"]
    owned = [_owned(plan({"LAB_NAME": name})) for name in names]
    for one, other in itertools.combinations(owned, 2):
        assert not one & other


def test_names_of_interfaces_fit() -> None:
    """Linux takes 15 signs, for the longest name and the last node too."""
    nodes = [(f"n{number}", ()) for number in range(99)]
    for name in ("l", "mol-default", "a" * 32):
        lab = plan({}, name=name, nodes=nodes)
        ports = [lab.management_port(lab.nodes[-1]), lab.cluster_port(lab.nodes[-1])]
        assert all(len(port) <= 15 for port in [*ports, lab.cluster_bridge])


def test_own_subnet() -> None:
    """LAB_SUBNET is divided between the two networks."""
    first, second = networks("lab", "192.168.4.0/23")
    assert (str(first), str(second)) == ("192.168.4.0/24", "192.168.5.0/24")


def test_virtualbox_takes_only_its_own_range() -> None:
    """Without changes to VirtualBox a host-only network is in 192.168.56.0/21."""
    assert str(virtualbox_network("lab")) == "192.168.56.0/24"
    assert 56 <= virtualbox_network("other").network_address.packed[2] <= 63


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LAB_NAME": "Lab"}, "LAB_NAME=Lab"),
        ({"LAB_NAME": "a" * 33}, "1 to 32"),
        ({"LAB_NODES": "0"}, "LAB_NODES=0"),
        ({"LAB_NODES": "three"}, "as in 3+2"),
        ({"LAB_MEMORY": "64"}, "at least 384"),
        ({"LAB_MEMORY": "1G"}, "LAB_MEMORY=1G"),
        ({"LAB_CPUS": "0"}, "at least 1"),
        ({"LAB_GOLDEN": "maybe"}, "yes or no"),
        ({"LAB_SUBNET": "10.0.0.0/24"}, "/23"),
        ({"LAB_SUBNET": "10.0.0.1/23"}, "no network"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], said: str) -> None:
    """The sentence has the setting and what it may be."""
    with pytest.raises(LabError, match=said.replace("+", r"\+")):
        plan(environment)


def test_an_unknown_node_is_answered_with_the_known() -> None:
    """Whoever mistypes a name reads those there are."""
    with pytest.raises(LabError, match=r"no node 'x9'; it has m1, m2, m3, a1, a2"):
        plan({}).node("x9")
