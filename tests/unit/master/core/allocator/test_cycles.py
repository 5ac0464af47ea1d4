"""What the policy forgets is freed at once: nothing it drops is left for the collector."""

import gc
from collections.abc import Iterator

import pytest

from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import AgentSpec, FrameworkSpec
from mesos_twisted.master.core.allocator.nodes import Client, RoleNode
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.parse import resources_from_text


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_removed_framework_and_its_roles_are_freed() -> None:
    """Frameworks come and go for years; old cycles are never collected."""
    policy = HierarchicalAllocator()
    policy.add_agent(AgentId("S"), AgentSpec("host", resources_from_text("cpus:4;mem:4096")), {})
    policy.add_framework(FrameworkId("F"), FrameworkSpec(("team/web", "other")))
    assert policy.allocate(1.0, 1)
    assert known("team/web") and known("team") and known("other")
    policy.remove_framework(FrameworkId("F"))
    policy.allocate(2.0, 2)
    assert known("team/web") + known("team") + known("other") == 0


def known(role: str) -> int:
    """Clients and nodes of the role that are still there, reachable or not."""
    return sum(
        (isinstance(one, Client) and one.role == role)
        or (isinstance(one, RoleNode) and one.path == role)
        for one in gc.get_objects()
    )
