"""Frameworks, agents and refusals to try a placement policy with.

Few roles, hosts and attributes, so that frameworks get in each other's way often.
"""

from __future__ import annotations

from hypothesis import strategies as st

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.allocator.constraints import (
    Check,
    Constraint,
    Pseudo,
    RoleConstraints,
)
from mesos_twisted.master.core.allocator.interface import AgentSpec, Capability, FrameworkSpec
from mesos_twisted.master.core.allocator.regexes import RegexLimits, compile_regex
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.resources.quantities import Quantities
from mesos_twisted.resources.resource import DiskInfo, Reservation, ReservationType, Resource

ROLES = ("*", "a", "a/b", "a/b/c", "d", "d/e")
_STATIC_A = Reservation(ReservationType.STATIC, "a")
_REFINED = (_STATIC_A, Reservation(ReservationType.DYNAMIC, "a/b", "ann"))
_SHARED = Resource("disk", 8000, (_STATIC_A,), DiskInfo("v1"), shared=True)
TOTALS = (
    resources_from_text("cpus:4;mem:1024;ports:[1-10]"),
    resources_from_text("cpus:2;mem:64;cpus(a):1;mem(a):64;cpus(d/e):1;mem(d):32"),
    resources_from_text("cpus(a/b):2;mem(a/b):256;ports(a):[5-9];mem:16"),
    resources_from_text("cpus:8;gpus:2;mem:2048;disks:{x,y}"),
    Resources.of([Resource("cpus", 3000), Resource("cpus", 2000, revocable=True)]),
    Resources.of([Resource("cpus", 3000), Resource("cpus", 2000, _REFINED), _SHARED]),
)
MINIMUMS = (None, {"a": (Quantities({"mem": 32_000}),), "d": ()})


def _matches(key: str | Pseudo, pattern: str, negated: bool) -> Constraint:
    regex = compile_regex(pattern, RegexLimits())
    assert not isinstance(regex, Problem)
    return Constraint(key, Check.TEXT_MATCHES, negated, pattern, regex)


def _group(*constraints: Constraint) -> dict[str, RoleConstraints]:
    return {"a": RoleConstraints((constraints,)), "*": RoleConstraints((constraints,))}


_HOST = Constraint(Pseudo.HOSTNAME, Check.TEXT_EQUALS, False, "h0")
_RACK = Constraint("rack", Check.EXISTS)
_ELSEWHERE = Constraint(Pseudo.ZONE, Check.TEXT_EQUALS, True, "z0")
CONSTRAINTS: tuple[dict[str, RoleConstraints] | None, ...] = (
    None,
    None,
    {},
    _group(_HOST),
    _group(_RACK, _matches("rack", "r[12]", False)),
    _group(Constraint("rack", Check.TEXT_EQUALS, True, "r1"), _ELSEWHERE),
    _group(Constraint(Pseudo.REGION, Check.EXISTS, True)),
    {"a": RoleConstraints(((_HOST, _RACK), (_matches("rack", "r.*", True),)))},
)
ATTRIBUTES = (
    (),
    (("rack", "r1"),),
    (("os", "x"), ("rack", "r3"), ("rack", "r1")),
    (("rack", None),),
)

frameworks = st.builds(
    FrameworkSpec,
    roles=st.lists(st.sampled_from(ROLES), unique=True, min_size=1, max_size=3).map(tuple)
    | st.just(()),
    suppressed=st.just(frozenset[str]()),
    capabilities=st.just(frozenset(Capability)) | st.frozensets(st.sampled_from(list(Capability))),
    min_allocatable=st.sampled_from(MINIMUMS),
    active=st.booleans() | st.just(True),
    constraints=st.sampled_from(CONSTRAINTS),
)
agents = st.builds(
    AgentSpec,
    hostname=st.sampled_from(["h0", "h1"]),
    total=st.sampled_from(TOTALS),
    region=st.sampled_from([None, "here", "there"]),
    multi_role=st.just(True) | st.booleans(),
    hierarchical_role=st.just(True) | st.booleans(),
    zone=st.sampled_from([None, "z0", "z1"]),
    attributes=st.sampled_from(ATTRIBUTES),
)
picks = st.integers(0, 99)
refusals = st.sampled_from([None, None, 0.0, 0.3, 5.0, 1e12, -1.0])
