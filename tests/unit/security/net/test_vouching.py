"""What a master says about the principal it asks for."""

import pytest

from mesos_twisted.security.core.principal import ANONYMOUS, Principal, Role
from mesos_twisted.security.net.vouching import vouch, vouched


@pytest.mark.parametrize("name", ["alice", "a/b", "zoë\r\nX: y", "nobody", "100%"])
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.FRAMEWORK])
def test_principals_pass_unchanged(name: str, role: Role) -> None:
    """Any name, in one header line."""
    text = vouch(Principal(name, role, (), "basic"))
    assert text is not None and text.isascii() and text.isprintable()
    assert vouched(text) == Principal(name, role)


def test_nobody_stays_nobody() -> None:
    assert vouched(vouch(ANONYMOUS) or "") == ANONYMOUS


@pytest.mark.parametrize("role", [Role.MASTER, Role.AGENT, Role.EXECUTOR])
def test_no_other_role_is_vouched_for(role: Role) -> None:
    assert vouch(Principal("x", role)) is None
    assert vouched(f"{role.value}/x") is None


@pytest.mark.parametrize("text", ["", "operator", "operator/", "x", "operator/%ff"])
def test_what_names_nobody(text: str) -> None:
    assert vouched(text) is None
