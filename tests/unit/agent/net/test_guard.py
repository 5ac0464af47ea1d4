"""Who asks an agent: itself, or someone a master speaks for; never another site's page."""

from pathlib import Path

import pytest

from mesos_twisted.agent.net.operator_api import Guard
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.net.http_auth import AGENT_READONLY, Authenticator, Challenge
from mesos_twisted.testing.master_service import Certificates
from mesos_twisted.transport.messages import Peer, Request


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory: Path = tmp_path_factory.mktemp("certs")
    return Certificates.make(directory)


def asked(path: str, certificate: bytes | None = None, **headers: str) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", path, b"", "", sent, b"", Peer("127.0.0.1", 1, certificate))


def guard(proofs: bool = True) -> Guard:
    proof = Authenticator(AGENT_READONLY, now=lambda: 1.0) if proofs else None
    return Guard(proof, proof)


@pytest.mark.parametrize("path", ["/files/read", "/slave(1)/files/browse"])
def test_a_master_speaks_for_a_principal(certificates: Certificates, path: str) -> None:
    """About files the agent judges whom the master names."""
    request = asked(path, certificates.der("master"), mesos_on_behalf_of="framework/f")
    assert guard().principal(request, changes=False) == Principal("f", Role.FRAMEWORK)
    assert guard(proofs=False).principal(request, changes=False) == Principal("f", Role.FRAMEWORK)


@pytest.mark.parametrize("name", ["agent", "framework"])
def test_nobody_else_speaks_for_another(certificates: Certificates, name: str) -> None:
    request = asked("/files/read", certificates.der(name), mesos_on_behalf_of="operator/o")
    found = guard().principal(request, changes=False)
    assert isinstance(found, Principal) and found.name == name


def test_a_master_alone_is_only_a_master(certificates: Certificates) -> None:
    """And of other pages, or to change anything, it speaks for nobody."""
    der = certificates.der("master")
    for request, changes in (
        (asked("/files/read", der), False),
        (asked("/state", der, mesos_on_behalf_of="operator/o"), False),
        (asked("/files/read", der, mesos_on_behalf_of="operator/o"), True),
        (asked("/files/read", der, mesos_on_behalf_of="executor/o"), False),
    ):
        found = guard().principal(request, changes=changes)
        assert isinstance(found, Principal) and found.role is Role.MASTER


def test_nobody_is_nobody(certificates: Certificates) -> None:
    """A master open to all does not open the agents."""
    request = asked("/files/read", certificates.der("master"), mesos_on_behalf_of="nobody")
    found = guard().principal(request, changes=False)
    assert isinstance(found, Challenge) and found.status == 403
    open_to_all = guard(proofs=False).principal(request, changes=False)
    assert isinstance(open_to_all, Principal) and open_to_all.name == "anonymous"


def test_other_sites_pages_are_refused(certificates: Certificates) -> None:
    """Whatever proof the browser adds."""
    der = certificates.der("operator")
    page = asked("/api/v1", der, sec_fetch_site="same-site", sec_fetch_mode="navigate")
    found = guard().principal(page, changes=True)
    assert isinstance(found, Challenge) and found.status == 403
    script = asked("/state", der, sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    assert isinstance(guard().principal(script, changes=False), Challenge)
    form = asked("/api/v1", der, origin="https://evil", host="agent:5051")
    assert isinstance(guard().principal(form, changes=True), Challenge)
    assert isinstance(guard(proofs=False).principal(form, changes=True), Challenge)
    assert isinstance(guard(proofs=False).principal(script, changes=False), Principal)
