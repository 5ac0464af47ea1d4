"""Where the connector may listen, and for which Host it answers."""

import pytest

from mesos_twisted.connect.core.address import (
    TcpAddress,
    UnixAddress,
    is_meant_for_us,
    parse_listen,
    split_host_port,
)
from mesos_twisted.errors import MalformedError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5050", TcpAddress("127.0.0.1", 5050)),
        ("localhost:0", TcpAddress("127.0.0.1", 0)),
        ("127.1.2.3:1", TcpAddress("127.1.2.3", 1)),
        ("[::1]:5050", TcpAddress("::1", 5050)),
        ("unix:/run/mesos.sock", UnixAddress("/run/mesos.sock")),
    ],
)
def test_local_addresses(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["0.0.0.0:5050", "10.0.0.1:5050", "[::]:1", "example.org:80"])
def test_other_addresses_are_refused_with_the_reason(text):
    with pytest.raises(MalformedError, match="loopback only"):
        parse_listen(text)


@pytest.mark.parametrize("text", ["5050", "127.0.0.1", "127.0.0.1:70000", "unix:relative"])
def test_what_is_no_address(text):
    with pytest.raises(MalformedError, match="--listen"):
        parse_listen(text)


def test_masters_are_host_and_port():
    assert split_host_port("m1.example:5050", "--master") == ("m1.example", 5050)
    with pytest.raises(MalformedError, match="--master=m1 is not an address"):
        split_host_port("m1", "--master")


@pytest.mark.parametrize(
    "host", ["", "localhost:5050", "LOCALHOST", "127.0.0.1:80", "[::1]:5050", "[::1]", "box:1"]
)
def test_hosts_of_this_machine(host):
    assert is_meant_for_us(host, frozenset({"box"}))


@pytest.mark.parametrize("host", ["evil.example:5050", "localhost.evil.example", "10.0.0.1:5050"])
def test_names_a_web_page_may_have_chosen(host):
    assert not is_meant_for_us(host, frozenset({"box"}))
