"""Who leads, given the names below a path."""

from __future__ import annotations

import pytest

from mesos_twisted.election.membership import (
    Member,
    address_of,
    decode_info,
    encode_info,
    leader,
    members,
    same_master,
)
from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages as m

INFO = m.MasterInfo(id="a", ip=16777343, port=5050)


def test_the_lowest_number_leads() -> None:
    """Whatever its label; in no order of the names."""
    names = ["json.info_0000000012", "info_0000000003", "0000000007", "json.info_0000000002"]
    assert leader(names) == Member(2, "json.info_0000000002")
    assert [member.number for member in members(names)] == [2, 3, 7, 12]


@pytest.mark.parametrize(
    "name",
    ["log_replicas", "json.info_", "json.info_123", "json.info_-000000001", "x", "json.info_0x1"],
)
def test_other_names_do_not_contend(name: str) -> None:
    """Ten digits, as ZooKeeper writes them."""
    assert leader([name]) is None


def test_data_is_a_master_in_json() -> None:
    """Other forms, and rubbish, are said to be so."""
    member = Member(1, "json.info_0000000001")
    assert decode_info(member, encode_info(INFO)) == INFO
    for bad, data in ((member, b"{"), (Member(1, "info_0000000001"), encode_info(INFO))):
        with pytest.raises(MalformedError):
            decode_info(bad, data)


def test_a_master_is_known_by_its_id() -> None:
    """It is new at each start, so an earlier life's node is not ours."""
    assert same_master(INFO, encode_info(INFO))
    assert not same_master(INFO, encode_info(m.MasterInfo(id="b", ip=16777343, port=5050)))
    assert not same_master(INFO, b"rubbish")


def test_where_a_master_is_reached() -> None:
    """Its name if it has one; the number of its address is written as it lies in memory."""
    assert address_of(INFO) == ("127.0.0.1", 5050)
    named = m.MasterInfo(id="a", ip=1, port=5050, hostname="h")
    assert address_of(named) == ("h", 5050)
    full = m.MasterInfo(
        id="a", ip=1, port=1, hostname="h", address=m.Address(hostname="g", ip="1.2.3.4", port=9)
    )
    assert address_of(full) == ("g", 9)
