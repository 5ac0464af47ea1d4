"""Mesos's way to write an ensemble and a path."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.zookeeper.url import ZkUrl, is_zk_url, parse_zk_url, without_credentials


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("zk://a:1/m", ZkUrl((("a", 1),), "/m")),
        ("zk://a,b:2182/m/n/", ZkUrl((("a", 2181), ("b", 2182)), "/m/n")),
        ("  zk://[::1]:2181,[::2]/m\n", ZkUrl((("::1", 2181), ("::2", 2181)), "/m")),
        ("zk://u:p@a:1/m", ZkUrl((("a", 1),), "/m", Secret(b"u:p"))),
        ("zk://u:p@q:r@a:1/m", ZkUrl((("a", 1),), "/m", Secret(b"u:p@q:r"))),
    ],
)
def test_good_urls(text: str, meant: ZkUrl) -> None:
    """Servers in their order, a path, credentials if any."""
    assert parse_zk_url(text) == meant
    assert is_zk_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://a/m",
        "zk://",
        "zk:///m",
        "zk://a:1",
        "zk://a:1/",
        "zk://a:1//m",
        "zk://a:1/m/../n",
        "zk://a:1/m\x01",
        "zk://a:0/m",
        "zk://a:65536/m",
        "zk://a:x/m",
        "zk://::1:2181/m",
        "zk://:1/m",
        "zk://user@a:1/m",
    ],
)
def test_bad_urls(text: str) -> None:
    """Each is refused with a sentence."""
    with pytest.raises(MalformedError):
        parse_zk_url(text)


@pytest.mark.parametrize("rest", ["a:1/m", "a:bad/m", "/m", "a:1"])
def test_a_password_is_never_shown(rest: str) -> None:
    """Neither a URL in a log nor an error about one tells it."""
    try:
        said = f"{parse_zk_url(f'zk://user:hunter2@{rest}')!s}"
    except MalformedError as error:
        said = str(error)
    assert "hunter2" not in said
    assert "hunter2" not in without_credentials(f"zk://user:hunter2@{rest}")


def test_what_is_shown_is_otherwise_the_same() -> None:
    """An operator recognizes the flag."""
    assert without_credentials("zk://u:p@a:1,b:2/m") == "zk://…@a:1,b:2/m"
    assert without_credentials("zk://a:1/m") == "zk://a:1/m"
    assert without_credentials("host:5050") == "host:5050"
