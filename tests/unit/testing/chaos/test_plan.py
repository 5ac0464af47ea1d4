"""Faults from a seed."""

from mesos_twisted.testing.chaos.plan import ENDING, INSTANT, Fault, Kind, plan

MEMBERS = {
    "zookeeper": ["zookeeper-1"],
    "master": ["master-1", "master-2"],
    "agent": ["agent-1"],
    "framework": ["framework-1"],
}


def test_the_same_seed_is_the_same_plan() -> None:
    one, again, other = (plan(seed, MEMBERS, 600.0, session_s=3.0) for seed in (1, 1, 2))
    assert one == again != other
    assert all(0 < fault.at_s < 600.0 for fault in one)
    assert [fault.at_s for fault in one] == sorted(fault.at_s for fault in one)


def test_every_kind_comes_and_disks_are_agents_only() -> None:
    faults = plan(3, MEMBERS, 3600.0, session_s=3.0)
    assert {fault.kind for fault in faults} == set(Kind)
    for fault in faults:
        assert fault.kind not in (Kind.FULL, Kind.SLOW) or fault.target == "agent-1"
        assert fault.target != fault.other


def test_who_is_spared_suffers_all_but_an_end() -> None:
    faults = plan(3, MEMBERS, 3600.0, session_s=3.0, spared=["agent-1"])
    own = {fault.kind for fault in faults if fault.target == "agent-1"}
    assert own == set(Kind) - ENDING
    assert all(f.for_s > 0 for f in faults if f.kind not in INSTANT)


def test_some_last_longer_than_a_session_and_some_shorter() -> None:
    lasting = [f.for_s for f in plan(4, MEMBERS, 3600.0, session_s=3.0) if f.kind is Kind.PAUSE]
    assert min(lasting) < 3.0 < max(lasting)


def test_a_fault_in_words() -> None:
    assert str(Fault(1.0, Kind.KILL, "master-1")) == "master-1: kill -9"
    cut = Fault(1.0, Kind.CUT, "agent-1", "master-2", 2.0)
    assert str(cut) == "agent-1: nothing reaches master-2 for 2.0 s"
