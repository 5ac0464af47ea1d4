"""What is announced, and where it must not be."""

import pytest

from mesos_twisted.connect.core.address import TcpAddress, UnixAddress
from mesos_twisted.connect.core.announcement import announced, check_place, master_info, objection
from mesos_twisted.election.membership import address_of, encode_info
from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.zookeeper.url import parse_zk_url

OURS = master_info("127.0.0.1", 5050, "one")


def test_the_first_listener_that_every_client_understands():
    four = TcpAddress("127.0.0.1", 5050)
    assert announced([UnixAddress("/x"), TcpAddress("::1", 1), four]) is four
    with pytest.raises(MalformedError, match="IPv4 loopback"):
        announced([UnixAddress("/x"), TcpAddress("::1", 1)])


def test_every_field_a_client_may_read_says_the_same():
    assert address_of(OURS) == ("127.0.0.1", 5050)
    assert address_of(m.MasterInfo(id="x", ip=OURS.ip, port=OURS.port)) == ("127.0.0.1", 5050)


@pytest.mark.parametrize(
    ("masters", "fits"),
    [
        ("zk://a:1,b:2/mesos", False),
        ("zk://b:2/local", True),
        ("zk://b:2/local/mesos", True),
        ("zk://c:3/mesos", True),
    ],
)
def test_not_where_the_masters_are(masters, fits):
    """Their own path or below it, in their ensemble."""
    for announce in ("zk://u:p@b:2/mesos", "zk://b:2/mesos/local"):
        if fits:
            check_place(parse_zk_url(announce), parse_zk_url(masters))
        else:
            with pytest.raises(MalformedError, match="where the masters contend") as refused:
                check_place(parse_zk_url(announce), parse_zk_url(masters))
            assert "u:p" not in str(refused.value)
    check_place(parse_zk_url("zk://b:2/mesos"), None)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({}, None),
        ({"json.info_0000000001": encode_info(master_info("127.0.0.1", 5050, "two"))}, None),
        (
            {"json.info_0000000001": encode_info(master_info("127.0.0.1", 5051, "two"))},
            "announces 127.0.0.1:5051",
        ),
        (
            {
                "json.info_0000000001": encode_info(
                    m.MasterInfo(id="a", ip=OURS.ip, port=5050, pid="master@127.0.0.1:5050")
                )
            },
            "Masters contend at /p",
        ),
        ({"json.info_0000000001": b"{"}, "Masters contend at /p"),
        ({"info_0000000001": b"x"}, "Masters contend at /p"),
        ({"log_replicas": b""}, "holds other nodes (log_replicas)"),
    ],
)
def test_who_else_is_there(nodes, words):
    said = objection("/p", OURS, nodes)
    assert said is None if words is None else words in said
