"""Who may write our nodes."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import MalformedError
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.acl import acl_for


def test_without_anything_anyone_may() -> None:
    """As in Mesos; nobody could be named."""
    assert acl_for(None, identified=False) == r.OPEN_ACL


def test_an_identified_creator_keeps_it_to_itself() -> None:
    """Reading stays open, as in Mesos."""
    assert acl_for(None, identified=True) == r.EVERYONE_READ_CREATOR_ALL


@pytest.mark.parametrize("identified", [False, True])
def test_a_list_is_the_list(identified: bool) -> None:
    """An identity may hold colons, commas and spaces."""
    assert acl_for("x509:CN=master m1,O=a ; digest:u:aGFzaA==", identified) == (
        r.Acl(r.READ, "world", "anyone"),
        r.Acl(r.ALL, "x509", "CN=master m1,O=a"),
        r.Acl(r.ALL, "digest", "u:aGFzaA=="),
    )


@pytest.mark.parametrize("text", ["", ";", "x509", "x509:", ":a", "world:anyone", "auth:x", "a:b;"])
def test_what_names_nobody_is_refused(text: str) -> None:
    """Above all a list that would open what it should close."""
    with pytest.raises(MalformedError):
        acl_for(text, identified=True)
