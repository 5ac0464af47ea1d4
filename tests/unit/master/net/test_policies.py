"""Placement policies by name: built in, installed by somebody else, unknown and broken."""

import tomllib
from pathlib import Path

import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import AllocatorOptions
from mesos_twisted.master.core.allocator.priority import PriorityAllocator
from mesos_twisted.master.net.policies import BUILT_IN, GROUP, find_allocator, make_allocator
from mesos_twisted.testing.master_service import Make

PYPROJECT = Path(__file__).resolve().parents[4] / "pyproject.toml"
MODULE = """
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
class Mine(HierarchicalAllocator): pass
class Picky:
    def __init__(self): pass
class Half:
    def __init__(self, options): pass
number = 7
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with policies, on the path."""
    (tmp_path / "acme_policies.py").write_text(MODULE)
    (tmp_path / "acme_broken.py").write_text("raise ValueError('not today')\n")
    info = tmp_path / "acme_policies-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-policies\nVersion: 1.0\n")
    lines = [
        "mine = acme_policies:Mine",
        "priority = acme_policies:Mine",
        "picky = acme_policies:Picky",
        "half = acme_policies:Half",
        "number = acme_policies:number",
        "nothing = acme_policies:nothing",
        "broken = acme_broken:Mine",
    ]
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_built_in() -> None:
    """The documented names, whether the package is installed or not."""
    assert find_allocator("hierarchical") is HierarchicalAllocator
    assert find_allocator("HierarchicalDRF") is HierarchicalAllocator
    assert find_allocator("priority") is PriorityAllocator
    unknown = find_allocator("nonesuch")
    assert isinstance(unknown, Problem)
    assert unknown.sentence.endswith("choose one of: HierarchicalDRF, hierarchical, priority")


def test_built_in_policies_are_declared_as_entry_points() -> None:
    """Each under its name, so that others find them as they find any."""
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][GROUP]
    assert declared == {
        name: f"{policy.__module__}:{policy.__name__}" for name, policy in BUILT_IN.items()
    }


def test_an_installed_policy_allocates(installed: None, make: Make) -> None:
    """A master started with its name uses it."""
    world = make(allocator="mine")
    assert type(world.service.state.allocator).__module__ == "acme_policies"
    world.registered()
    stream = world.subscribe()
    world.clock.pump([0.5] * 4)
    assert "OFFERS" in [event["type"] for event in stream.events()]


def test_an_installed_policy_does_not_replace_a_built_in_one(installed: None) -> None:
    assert find_allocator("priority") is PriorityAllocator


def test_installed_policies_are_told_of(installed: None) -> None:
    unknown = find_allocator("nonesuch")
    assert isinstance(unknown, Problem) and "half, hierarchical, mine" in unknown.sentence


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "cannot be loaded: ValueError('not today')"),
        ("nothing", "cannot be loaded: AttributeError"),
        ("number", "is not a class or function"),
        ("picky", "cannot be made: TypeError"),
        ("half", "lacks pending, add_framework"),
    ],
)
def test_a_broken_policy_is_one_sentence(installed: None, name: str, words: str) -> None:
    """What is wrong, and what to do; never a traceback."""
    problem = make_allocator(name, AllocatorOptions())
    assert isinstance(problem, Problem)
    assert problem.sentence.startswith(f"allocator '{name}' {words}")
    assert problem.sentence.endswith("; correct or reinstall the package it is from")
