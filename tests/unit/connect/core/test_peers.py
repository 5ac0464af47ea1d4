"""The owner of a socket, from the kernel's table."""

import sys

import pytest

from mesos_twisted.connect.core.peers import owner, spelled, spelled_mapped

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
ROW = (
    "   1: 0100007F:A44F 0100007F:13BA {state} 00000000:00000000 00:00000000 00000000"
    "  {uid}  0 {inode} 1 0"
)


def table(state="01", uid="1000", inode="63897"):
    return [HEAD, ROW.format(state=state, uid=uid, inode=inode)]


@pytest.mark.skipif(sys.byteorder != "little", reason="the rows were taken on such a machine")
def test_addresses_are_spelled_as_the_kernel_does():
    assert spelled("127.0.0.1", 5050) == "0100007F:13BA"
    assert spelled("::1", 1) == "00000000000000000000000001000000:0001"
    assert spelled_mapped("127.0.0.1", 1) == "0000000000000000FFFF00000100007F:0001"


def test_the_owner_is_found_by_both_ends():
    assert owner(table(), "0100007F:A44F", "0100007F:13BA") == 1000
    assert owner(table(), "0100007F:13BA", "0100007F:A44F") is None
    assert owner(table(), "0100007F:A44E", "0100007F:13BA") is None
    assert owner([HEAD, "torn"], "0100007F:A44F", "0100007F:13BA") is None


def test_a_socket_without_a_process_is_nobodys():
    """The kernel calls such a socket root's, so it must never count as root."""
    assert owner(table(state="06", uid="0", inode="0"), "0100007F:A44F", "0100007F:13BA") is None
    assert owner(table(state="05", uid="0", inode="0"), "0100007F:A44F", "0100007F:13BA") is None
    assert owner(table(state="05"), "0100007F:A44F", "0100007F:13BA") == 1000
