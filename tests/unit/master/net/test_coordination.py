"""The flags that say how a master is chosen."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from mesos_twisted.config import document, load
from mesos_twisted.election.standalone import StandaloneElector
from mesos_twisted.election.zookeeper import ZooKeeperElector
from mesos_twisted.errors import MalformedError
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net import coordination
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.zookeeper import ZooKeeperRegistry
from mesos_twisted.zookeeper import records as r

ZK = "zk://mesos:hunter2@a:2181,b:2181/mesos"


def config(*flags: str) -> MasterConfig:
    return load(MasterConfig, flags, {}).config


class NoContexts:
    """TLS is not reached here."""

    def client_context(self, alpn: Any = None) -> Any:
        raise AssertionError


def parts(*flags: str) -> tuple[Any, Any]:
    def embedded(config: MasterConfig, reactor: Any) -> Any:
        return "embedded"

    return coordination.parts(config(*flags), Clock(), NoContexts(), lambda: 0.5, embedded)


def test_alone_without_zookeeper() -> None:
    """The registry is in a file, or nowhere."""
    elector, registry = parts()
    assert isinstance(elector, StandaloneElector) and registry == "embedded"
    assert parts("--registry=sqlite")[1] == "embedded"
    assert isinstance(parts("--registry=in_memory")[1], MemoryRegistry)


def test_with_others_through_zookeeper() -> None:
    """Both are there, and nothing is started yet."""
    elector, registry = parts(f"--zk={ZK}")
    assert isinstance(elector, ZooKeeperElector)
    assert isinstance(registry, ZooKeeperRegistry)
    assert elector.node == "/mesos/json.info_"


@pytest.mark.parametrize(
    ("flags", "path"),
    [((), "/mesos_registry"), (("--registry_zk_path=/r/x/",), "/r/x")],
)
def test_where_the_registry_is(flags: tuple[str, ...], path: str) -> None:
    """Beside the election."""
    assert coordination.registry_zk_path(config(f"--zk={ZK}", *flags)) == path


@pytest.mark.parametrize(
    ("flags", "acl"),
    [
        (("--zk=zk://a:1/m",), r.OPEN_ACL),
        ((f"--zk={ZK}",), r.EVERYONE_READ_CREATOR_ALL),
        (("--zk=zk://a:1/m", "--zk_tls"), r.EVERYONE_READ_CREATOR_ALL),
        (
            ("--zk=zk://a:1/m", "--zk_acl=x509:CN=m"),
            (r.Acl(r.READ, "world", "anyone"), r.Acl(r.ALL, "x509", "CN=m")),
        ),
    ],
)
def test_who_may_write(flags: tuple[str, ...], acl: tuple[r.Acl, ...]) -> None:
    """Never anyone, where somebody can be named."""
    assert coordination.acl(config(*flags)) == acl


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--registry_zk_path=/r",), "--zk"),
        (("--zk_acl=x509:CN=m",), "--zk"),
        ((f"--zk={ZK}", "--registry=in_memory"), "--registry"),
        ((f"--zk={ZK}", "--registry=sqlite"), "--registry"),
        ((f"--zk={ZK}", "--registry_zk_path=/mesos"), "election"),
        ((f"--zk={ZK}", "--registry_zk_path=/mesos/below"), "election"),
        ((f"--zk={ZK}", "--registry_zk_path=nowhere"), "--registry_zk_path"),
        ((f"--zk={ZK}", "--zk_session_timeout=10ms"), "--zk_session_timeout"),
        ((f"--zk={ZK}", "--zk_acl=world:anyone"), "--zk_acl"),
    ],
)
def test_contradictions_are_refused(flags: tuple[str, ...], word: str) -> None:
    """With the flag that is to be changed, and without the password."""
    with pytest.raises(MalformedError, match=word) as refused:
        coordination.check(config(*flags))
    assert "hunter2" not in str(refused.value)


def test_the_password_is_shown_nowhere() -> None:
    """Neither among the flags nor in the sentence about a bad one."""
    assert document(config(f"--zk={ZK}"))["zk"] == "zk://…@a:2181,b:2181/mesos"
    with pytest.raises(MalformedError) as refused:
        config("--zk=zk://mesos:hunter2@a:port/mesos")
    assert "hunter2" not in str(refused.value)
