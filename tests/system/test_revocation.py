"""Certificates that change under running daemons: renewed, expired, revoked; and secrets kept."""

import contextlib
import datetime
import json
import secrets
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority, revocation
from mesos_twisted.testing.daemons import Daemons
from mesos_twisted.testing.processes import wait_until
from mesos_twisted.testing.scheduler_client import JSON, SchedulerClient

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    root = tmp_path_factory.mktemp("revocation")
    crl = (f"--tls_crl_file={root}/certs/crl.pem",)
    running = Daemons.begin(root, agents=2, master=crl, agent=crl)
    for role, name in (
        (Role.FRAMEWORK, "leaver"),
        (Role.OPERATOR, "fired"),
        (Role.OPERATOR, "old"),
    ):
        authority.issue(root / "certs", role, name, [])
    yield running
    running.stop()


def peer_serial(daemons: Daemons) -> int:
    host, _, port = daemons.master.rpartition(":")
    context = daemons.context()
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number


def reload(daemons: Daemons) -> None:
    for process in daemons.running.values():
        process.send_signal(signal.SIGHUP)


def stream(daemons: Daemons, identity: str) -> ssl.SSLSocket:
    """An operator's open event stream."""
    host, _, port = daemons.master.rpartition(":")
    plain = socket.create_connection((host, int(port)), 10)
    secure = daemons.context(identity).wrap_socket(plain, server_hostname=host)
    body = json.dumps({"type": "SUBSCRIBE"}).encode()
    head = "POST /api/v1 HTTP/1.1\r\nHost: x\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in JSON.items()
    )
    secure.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert b"200 OK" in secure.recv(4096)
    return secure


def test_a_renewed_leaf_is_served_and_open_streams_stay(daemons: Daemons) -> None:
    client = SchedulerClient(daemons)
    assert client.subscribe() == 200
    before = peer_serial(daemons)
    authority.renew(daemons.root / "certs", "master")
    reload(daemons)
    wait_until(lambda: peer_serial(daemons) != before, "the new certificate is served", 15)
    assert not client.closed.is_set()
    assert client.post("TEARDOWN").status == 202
    client.close()


def test_a_bad_file_changes_nothing(daemons: Daemons) -> None:
    path = daemons.cert("master")
    good, before = path.read_bytes(), peer_serial(daemons)
    path.write_bytes(b"nonsense")
    try:
        reload(daemons)
        log = daemons.root / "logs" / "master.log"
        wait_until(lambda: "Certificates not reloaded" in log.read_text(), "it is logged", 15)
        assert peer_serial(daemons) == before
    finally:
        path.write_bytes(good)
        reload(daemons)


def test_an_expired_certificate_is_refused(daemons: Daemons) -> None:
    certs = daemons.root / "certs"
    leaf = x509.load_pem_x509_certificate(daemons.cert("old").read_bytes())
    key = serialization.load_pem_private_key((certs / "ca-key.pem").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(leaf.issuer)
        .public_key(leaf.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now - datetime.timedelta(hours=1))
    )
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    assert daemons.request("GET", "/state", identity="old").status == 200
    made = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]  # our own key's kind signs
    daemons.cert("old").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    for base in (None, *daemons.agent_urls()):
        with pytest.raises(OSError):
            daemons.request("GET", "/state", identity="old", base=base)


def test_a_revoked_certificate_is_cut_and_refused(daemons: Daemons) -> None:
    certs = daemons.root / "certs"
    leaver = SchedulerClient(daemons, "leaver")
    assert leaver.subscribe() == 200
    staying = SchedulerClient(daemons)
    assert staying.subscribe() == 200
    fired = stream(daemons, "fired")
    host, _, port = daemons.agent_urls()[0][8:].rpartition(":")
    context = daemons.context("fired")
    idle = context.wrap_socket(
        socket.create_connection((host, int(port)), 10), server_hostname=host
    )
    idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in idle.recv(4096)
    for name in ("leaver", "fired", "agent-2"):
        revocation.revoke(certs, name)
    reload(daemons)
    assert leaver.closed.wait(60)
    for open_one in (fired, idle):
        open_one.settimeout(60)
        with contextlib.suppress(OSError):
            while open_one.recv(4096):
                continue
        open_one.close()
    for name in ("leaver", "fired"):
        for base in (None, *daemons.agent_urls()):
            with pytest.raises(OSError):
                daemons.request("GET", "/state", identity=name, base=base)

    def one_left() -> bool:
        agents = daemons.request("GET", "/slaves").json()["slaves"]
        return sum(bool(agent["active"]) for agent in agents) == 1

    wait_until(one_left, "the revoked agent is inactive", 60)
    assert not staying.closed.is_set()
    assert staying.post("TEARDOWN").status == 202
    staying.close()
    leaver.close()


def test_secrets_stay_secret(daemons: Daemons) -> None:
    """After all of the above: not in logs, pages or command lines."""
    root = daemons.root
    secret = (root / "operator.secret").read_text().strip()
    hidden = {secret, (root / "credentials").read_text().split()[1]}
    for key in (root / "certs").glob("*-key.pem"):
        hidden.add(key.read_text().splitlines()[1])
    hidden.add((root / "work/agent-1/meta/executor-token.key").read_bytes().hex())
    client = SchedulerClient(daemons)
    assert client.subscribe() == 200
    task_id = "hush-" + secrets.token_hex(4)
    client.launch(client.offer(), {task_id: "env | grep -i token; sleep 600"})
    client.running(task_id)
    shown = [path.read_text(errors="replace") for path in (root / "logs").iterdir()]
    for page in ("/state", "/flags", "/slaves", "/frameworks"):
        for base in (None, daemons.agent_urls()[0]):
            shown.append(daemons.request("GET", page, base=base).body.decode())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                shown.append((entry / "cmdline").read_bytes().decode(errors="replace"))
    text = "\n".join(shown)
    assert not [one for one in hidden if one in text]
    assert "eyJ" not in text, "a token is shown"
    assert client.post("TEARDOWN").status == 202
    client.close()
