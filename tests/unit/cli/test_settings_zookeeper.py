"""A ZooKeeper URL as the command line's master."""

from __future__ import annotations

import pytest

from mesos_twisted.cli.settings import resolve
from mesos_twisted.errors import MalformedError

NOWHERE = {"XDG_CONFIG_HOME": "/nonexistent"}


def test_the_url_is_one_master() -> None:
    """Though it holds commas; from the environment and the command line alike."""
    url = "zk://a:2181,b:2181/mesos"
    for flags, environ in (({"master": url}, {}), ({}, {"MESOS_TWISTED_MASTER": url})):
        found = resolve({**flags, "cacert": "ca.pem"}, {**NOWHERE, **environ})
        assert ",".join(found.masters) == url
        assert found.zk_tls == "false"


def test_a_bad_url_is_refused_without_its_password() -> None:
    """It says how one is written."""
    flags = {"master": "zk://me:hunter2@a:2181", "cacert": "ca.pem"}
    with pytest.raises(MalformedError) as refused:
        resolve(flags, NOWHERE)
    assert "hunter2" not in str(refused.value) and "/mesos" in str(refused.value)
