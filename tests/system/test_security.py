"""Who may do what, asked from outside: every page by every identity, and attackers at the door."""

import base64
import contextlib
import json
import socket
import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.testing.processes import Answer, RunningCluster, wait_until
from mesos_twisted.testing.scheduler_client import JSON, SchedulerClient

pytestmark = pytest.mark.system
CERTIFIED = ("framework", "other", "agent-1", "master", "operator")
#: Identities in the order of the statuses below; `basic` is the operator by its secret.
WHO = ("none", *CERTIFIED, "basic")
OPEN = (200,) * 7
READ = (401, *(200,) * 6)
OPERATORS = (401, 403, 403, 403, 403, 200, 200)
MASTER_PAGES = {
    **dict.fromkeys(("/health", "/livez", "/readyz", "/version"), OPEN),
    **dict.fromkeys(
        "/ /state /state-summary /slaves /frameworks /tasks /roles /weights /quota "
        "/maintenance/schedule /maintenance/status".split(),
        READ,
    ),
    **dict.fromkeys(
        "/flags /metrics /metrics/snapshot /files/debug /logging/toggle".split(), OPERATORS
    ),
    "/redirect": (307,) * 7,
    "/nosuch": (404,) * 7,
    "/files/read?path=/master/log": (401, *(404,) * 6),
}
AGENT_PAGES = {
    **dict.fromkeys(("/health", "/livez", "/readyz", "/version"), OPEN),
    "/state": READ,
    **dict.fromkeys(
        "/flags /metrics /metrics/snapshot /containers /monitor/statistics /files/debug".split(),
        OPERATORS,
    ),
    "/nosuch": (404,) * 7,
    "/files/download?path=/etc/passwd": (401, *(404,) * 6),
    "/files/read?path=/../../etc/passwd": (401, *(400,) * 6),
}
DURATION = {"level": 0, "duration": {"nanoseconds": 1000000}}
CALLS = {
    **dict.fromkeys(
        "GET_HEALTH GET_VERSION GET_LOGGING_LEVEL GET_STATE GET_FRAMEWORKS GET_EXECUTORS "
        "GET_TASKS".split(),
        READ,
    ),
    "GET_FLAGS": OPERATORS,
}
MASTER_CALLS = {
    **CALLS,
    **dict.fromkeys("GET_AGENTS GET_ROLES GET_WEIGHTS GET_MASTER GET_QUOTA".split(), READ),
    "TEARDOWN": (401, *(400,) * 6),
    "UPDATE_WEIGHTS": OPERATORS,
    "SET_LOGGING_LEVEL": OPERATORS,
}
AGENT_CALLS = {
    **CALLS,
    "GET_CONTAINERS": READ,
    "GET_OPERATIONS": READ,
    "SET_LOGGING_LEVEL": (401, 403, 403, 403, 403, 202, 202),
}
FIELDS: dict[str, dict[str, Any]] = {
    "TEARDOWN": {"teardown": {"framework_id": {"value": "nosuch"}}},
    "UPDATE_WEIGHTS": {"update_weights": {"weight_infos": [{"role": "b", "weight": 3.0}]}},
    "SET_LOGGING_LEVEL": {"set_logging_level": DURATION},
}
CHANGES = {
    ("POST", "/teardown"): (401, *(400,) * 6),
    ("PUT", "/weights"): OPERATORS,
}


@pytest.fixture(scope="module")
def others(cluster: RunningCluster) -> RunningCluster:
    """The cluster, with a second framework's certificate."""
    if not cluster.cert("other").exists():
        authority.issue(cluster.root / "certs", Role.FRAMEWORK, "other", [])
    return cluster


def basic(cluster: RunningCluster, secret: str | None = None) -> dict[str, str]:
    secret = secret or (cluster.root / "operator.secret").read_text().strip()
    pair = base64.b64encode(f"operator:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def ask(
    cluster: RunningCluster, who: str, method: str, path: str, body: bytes | None, base: str | None
) -> int:
    headers = dict(JSON) if path.startswith("/api") or method == "PUT" else {}
    if who == "basic":
        headers |= basic(cluster)
    identity = None if who in ("none", "basic") else who
    return cluster.request(method, path, body, headers, identity=identity, base=base).status


class TestMatrix:
    @pytest.mark.parametrize("who", WHO)
    def test_the_master_s_endpoints(self, others: RunningCluster, who: str) -> None:
        place = WHO.index(who)
        for path, expected in MASTER_PAGES.items():
            assert ask(others, who, "GET", path, None, None) == expected[place], path
        for kind, expected in MASTER_CALLS.items():
            call = json.dumps({"type": kind, **FIELDS.get(kind, {})}).encode()
            assert ask(others, who, "POST", "/api/v1", call, None) == expected[place], kind
        for (method, path), expected in CHANGES.items():
            body = b'[{"role":"b","weight":3.0}]' if method == "PUT" else b"frameworkId=nosuch"
            assert ask(others, who, method, path, body, None) == expected[place], path

    @pytest.mark.parametrize("who", WHO)
    def test_the_agent_s_endpoints(self, others: RunningCluster, who: str) -> None:
        place, base = WHO.index(who), others.agent_urls()[0]
        for path, expected in AGENT_PAGES.items():
            assert ask(others, who, "GET", path, None, base) == expected[place], path
        for kind, expected in AGENT_CALLS.items():
            call = json.dumps({"type": kind, **FIELDS.get(kind, {})}).encode()
            assert ask(others, who, "POST", "/api/v1", call, base) == expected[place], kind

    def test_a_wrong_secret_proves_nothing(self, others: RunningCluster) -> None:
        for base in (None, others.agent_urls()[0]):
            answer = others.request(
                "GET", "/state", None, basic(others, "x"), identity=None, base=base
            )
            assert answer.status == 401 and "www-authenticate" in answer.headers
            # A certificate does not lend its rights to somebody else's name.
            answer = others.request(
                "GET", "/state", None, basic(others, "x"), identity="framework", base=base
            )
            assert answer.status == 401

    def test_flags_hide_from_frameworks_everywhere(self, others: RunningCluster) -> None:
        for base in (None, *others.agent_urls()):
            document = others.request("GET", "/state", identity="framework", base=base).json()
            assert not document.get("flags"), base


class TestRoles:
    @pytest.mark.parametrize("who", ["agent-1", "master"])
    def test_daemons_are_no_frameworks(self, others: RunningCluster, who: str) -> None:
        client = SchedulerClient(others, who)
        client.subscribe()
        assert client.of_type("ERROR") and not client.framework_id
        client.close()

    @pytest.mark.parametrize("who", [None, "framework", "operator", "master"])
    def test_the_agents_link_is_for_agents(self, others: RunningCluster, who: str | None) -> None:
        before = others.request("GET", "/slaves").body
        context = others.context(who)
        context.set_alpn_protocols(["mesos-link/1"])
        with connected(context, others.master) as link:
            assert link.selected_alpn_protocol() == "mesos-link/1"
            with contextlib.suppress(OSError):
                link.sendall(b"\0\0\0\4\x81\xa1t\xa8")
            assert ended(link)
        assert len(json.loads(before)["slaves"]) == len(others.agent_urls())

    def test_an_agent_serves_no_link(self, others: RunningCluster) -> None:
        context = others.context("agent-1")
        context.set_alpn_protocols(["mesos-link/1"])
        with pytest.raises(OSError), connected(context, others.agent_urls()[0][8:]) as link:
            assert link.selected_alpn_protocol() is None
            raise ConnectionError

    def test_frameworks_see_and_touch_only_their_own(self, others: RunningCluster) -> None:
        mine = SchedulerClient(others)
        assert mine.subscribe() == 200
        task_id = f"secret-{uuid.uuid4().hex}"
        mine.launch(mine.offer(), {task_id: "echo private; sleep 600"})
        status = mine.running(task_id)
        agent = next(
            f"https://{a['hostname']}:{a['port']}"
            for a in others.request("GET", "/slaves").json()["slaves"]
            if a["id"] == status["agent_id"]["value"]
        )
        try:
            pages = ("/state", "/tasks", "/frameworks", "/state-summary", "/roles", "/slaves")
            calls = ("GET_STATE", "GET_TASKS", "GET_FRAMEWORKS", "GET_EXECUTORS", "GET_ROLES")
            seen = self.seen(others, "framework", pages, calls, None)
            assert task_id in seen and mine.framework_id in seen
            hidden = self.seen(others, "other", pages, calls, None)
            assert task_id not in hidden and mine.framework_id not in hidden
            calls = ("GET_STATE", "GET_TASKS", "GET_FRAMEWORKS", "GET_EXECUTORS", "GET_CONTAINERS")
            assert task_id in self.seen(others, "framework", ("/state",), calls, agent)
            hidden = self.seen(others, "other", ("/state",), calls, agent)
            assert task_id not in hidden and mine.framework_id not in hidden
            self.sandbox(others, agent, mine.framework_id, task_id)
            for kind, fields in (
                ("KILL", {"kill": {"task_id": {"value": task_id}}}),
                ("TEARDOWN", {}),
                ("SUPPRESS", {}),
                ("RECONCILE", {"reconcile": {"tasks": []}}),
            ):
                assert mine.post(kind, identity="other", **fields).status in (400, 403), kind
            thief = SchedulerClient(others, "other")
            thief.framework_id = mine.framework_id
            thief.subscribe()
            assert thief.of_type("ERROR") or not thief.of_type("SUBSCRIBED")
            thief.close()
            body = f"frameworkId={mine.framework_id}".encode()
            assert others.request("POST", "/teardown", body, identity="other").status == 403
            call = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": mine.framework_id}}}
            answer = others.request(
                "POST", "/api/v1", json.dumps(call).encode(), JSON, identity="other"
            )
            assert answer.status == 403
            assert not mine.closed.is_set()
        finally:
            assert mine.post("TEARDOWN").status == 202
            mine.close()

    def seen(
        self,
        cluster: RunningCluster,
        who: str,
        pages: tuple[str, ...],
        calls: tuple[str, ...],
        base: str | None,
    ) -> str:
        """All that an identity is shown."""
        answers = [cluster.request("GET", page, identity=who, base=base) for page in pages]
        for kind in calls:
            body = json.dumps({"type": kind}).encode()
            answers.append(cluster.request("POST", "/api/v1", body, JSON, identity=who, base=base))
        assert all(answer.status == 200 for answer in answers)
        return "\n".join(answer.body.decode() for answer in answers)

    def sandbox(self, cluster: RunningCluster, agent: str, framework_id: str, task_id: str) -> None:
        path = f"/frameworks/{framework_id}/executors/{task_id}/runs/latest/stdout"

        def read(who: str) -> Answer:
            return cluster.request("GET", f"/files/download?path={path}", identity=who, base=agent)

        wait_until(lambda: read("framework").body == b"private\n", "the owner reads its output")
        assert read("other").status == 403 and read("agent-1").status == 403
        call = {"type": "READ_FILE", "read_file": {"path": path, "offset": 0}}
        answer = cluster.request(
            "POST", "/api/v1", json.dumps(call).encode(), JSON, identity="other", base=agent
        )
        assert answer.status == 403


class TestTheDoor:
    @pytest.fixture(params=["master", "agent"])
    def address(self, request: pytest.FixtureRequest, others: RunningCluster) -> str:
        return others.master if request.param == "master" else others.agent_urls()[0][8:]

    def test_plaintext_gets_no_byte(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        for hello in (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 300, b"\x80\x2e\x01\0\2"):
            with socket.create_connection((host, int(port)), 10) as plain:
                plain.sendall(hello)
                assert ended(plain)

    @pytest.mark.parametrize("minor", [0, 1, 2])
    def test_old_tls_is_refused(self, address: str, minor: int) -> None:
        host, _, port = address.rpartition(":")
        version = bytes((3, minor))
        # ECDHE-ECDSA-AES128-SHA, P-256, uncompressed points: all that a client of then would offer.
        extensions = bytes.fromhex("000a00040002001700 0b00020100".replace(" ", ""))
        hello = version + bytes(32) + b"\0" + b"\0\2\xc0\x09" + b"\1\0"
        hello += len(extensions).to_bytes(2, "big") + extensions
        hello = b"\1" + len(hello).to_bytes(3, "big") + hello
        with socket.create_connection((host, int(port)), 10) as plain:
            plain.sendall(b"\x16" + version + len(hello).to_bytes(2, "big") + hello)
            alert = plain.recv(100)
            # A fatal alert (RFC 8446, 6.2): protocol_version, or handshake_failure for SSL 3.
            expected = b"\2\x46" if minor else b"\2\x28"
            assert (alert[:1], alert[5:7]) == (b"\x15", expected), alert
            assert ended(plain)

    def test_weak_ciphers_are_refused(self, others: RunningCluster, address: str) -> None:
        context = others.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AES128+SHA256:!AESGCM:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError), connected(context, address):
            pass

    def test_another_authority_s_certificate_is_refused(
        self, others: RunningCluster, address: str, tmp_path: Path
    ) -> None:
        authority.make_authority(tmp_path / "evil", "local")
        authority.issue(tmp_path / "evil", Role.OPERATOR, "operator", [])
        context = others.context(None)
        context.load_cert_chain(tmp_path / "evil/operator.pem", tmp_path / "evil/operator-key.pem")
        refused(context, address)


@contextlib.contextmanager
def connected(context: ssl.SSLContext, address: str) -> Iterator[ssl.SSLSocket]:
    """A TLS connection; the context's end closes it."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as plain:
        with context.wrap_socket(plain, server_hostname=host) as secure:
            yield secure


def ended(sock: socket.socket) -> bool:
    """Did the peer close without sending a byte?"""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True
    except ssl.SSLError as error:
        return "EOF" in str(error)


def refused(context: ssl.SSLContext, address: str) -> None:
    """The handshake fails; with TLS 1.3 the client hears of it when it reads."""
    with pytest.raises(OSError), connected(context, address) as secure:
        secure.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secure.recv(1) == b""
        raise ConnectionResetError
