"""The sole master leads."""

from mesos_twisted.election.standalone import StandaloneElector
from mesos_twisted.protocol.generated import messages as m


def test_the_sole_master_leads_at_once() -> None:
    """It hears of itself, once, as the leader."""
    heard: list[tuple[m.MasterInfo | None, bool]] = []
    me = m.MasterInfo(id="m", ip=1, port=5050)
    elector = StandaloneElector()
    elector.start(me, lambda leader, us: heard.append((leader, us)))
    assert heard == [(me, True)] and elector.stop().called
