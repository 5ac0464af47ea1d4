"""mesos_cluster_info against masters of its own: what it says, and how it says what is wrong."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import ssl
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

PATH = Path(__file__).resolve().parents[2] / "ansible/plugins/modules/mesos_cluster_info.py"


@pytest.fixture(scope="module")
def info() -> Any:
    """The module; what it needs of Ansible is only to read arguments."""
    names = ("ansible", "ansible.module_utils", "ansible.module_utils.basic")
    stubs = {name: types.ModuleType(name) for name in names}
    stubs[names[-1]].__dict__["AnsibleModule"] = object
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(stubs)
    try:
        spec = importlib.util.spec_from_file_location("mesos_cluster_info", PATH)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old
    return module


class Pki:
    """An authority, and a client's certificate by it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.client = self.ca.issue_cert("operator.example")

    def context(self, info: Any, ca: trustme.CA | None = None) -> ssl.SSLContext:
        cert = "".join(blob.bytes().decode() for blob in self.client.cert_chain_pems)
        key = self.client.private_key_pem.bytes().decode()
        context = info.tls((ca or self.ca).cert_pem.bytes().decode(), cert, key)
        assert isinstance(context, ssl.SSLContext)
        return context


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


@contextlib.contextmanager
def master(pki: Pki, answers: dict[str, tuple[int, Any]], name: str = "m1") -> Iterator[int]:
    """A master that answers by path, or by the type of a call; its port."""

    class Answers(BaseHTTPRequestHandler):
        def answer(self, what: str) -> None:
            status, body = answers.get(what, (404, {}))
            self.send_response(status)
            if status == 307:
                self.send_header("Location", body)
            data = b"" if status == 307 else json.dumps(body).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer(self.path)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(json.loads(body)["type"])

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    pki.ca.issue_cert(name).configure_cert(context)
    pki.ca.configure_trust(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def leading(location: str) -> dict[str, tuple[int, Any]]:
    task = {"framework_id": {"value": "f"}, "agent_id": {"value": "S0"}}
    running = task | {"task_id": {"value": "t1"}, "state": "TASK_RUNNING"}
    ended = task | {"task_id": {"value": "t0"}, "state": "TASK_FINISHED"}
    agent = {
        "agent_info": {"id": {"value": "S0"}, "hostname": "a1", "port": 5051},
        "active": True,
        "version": "1.11.0",
        "registered_time": {"nanoseconds": 5},
        "reregistered_time": {"nanoseconds": 7},
    }
    return {
        "/health": (200, {}),
        "/version": (200, {"version": "1.11.0"}),
        "/redirect": (307, location),
        "GET_AGENTS": (200, {"get_agents": {"agents": [agent]}}),
        "GET_TASKS": (200, {"get_tasks": {"tasks": [running], "completed_tasks": [ended]}}),
    }


def look(info: Any, pki: Pki, *ports: int, **options: Any) -> dict[str, Any]:
    masters = [{"name": "m1", "address": "127.0.0.1", "port": port} for port in ports]
    context = options.pop("context", None) or pki.context(info)
    found = info.look(info.Asker(masters, context, 10), masters, options.get("agents", True))
    assert isinstance(found, dict)
    return found


def test_the_leader_says_what_there_is(info: Any, pki: Pki) -> None:
    """Leader, agents with what they run, and how tasks ended."""
    answers: dict[str, tuple[int, Any]] = {}
    with master(pki, answers) as port:
        answers.update(leading(f"//m1:{port}/"))
        found = look(info, pki, port)
    assert (found["leader"], found["agreed"], found["error"]) == (f"m1:{port}", True, None)
    assert found["masters"][0] | {"port": 0} == {
        "name": "m1",
        "port": 0,
        "healthy": True,
        "leader": f"m1:{port}",
        "leads": True,
        "version": "1.11.0",
        "error": None,
    }
    assert found["agents"] == [
        {
            "id": "S0",
            "hostname": "a1",
            "port": 5051,
            "version": "1.11.0",
            "active": True,
            "deactivated": False,
            "registered_ns": 7,
            "task_ids": ["f/t1"],
        }
    ]
    assert found["ended"] == {"f/t0": "TASK_FINISHED"}
    assert found["tasks"] == {"TASK_RUNNING": 1, "TASK_FINISHED": 1}


def test_masters_that_name_two_leaders_do_not_agree(info: Any, pki: Pki) -> None:
    """Each is well by itself; together they are not."""
    with master(pki, leading("//m8:1/")) as one, master(pki, leading("//m9:1/")) as two:
        found = look(info, pki, one, two, agents=False)
    assert [seen["healthy"] for seen in found["masters"]] == [True, True]
    assert not found["agreed"]


def test_nobody_leads(info: Any, pki: Pki) -> None:
    """A master that knows no leader says so, and agents are not known."""
    answers = leading("") | {"/redirect": (503, "No leader elected")}
    with master(pki, answers) as port:
        found = look(info, pki, port)
    assert (found["leader"], found["agreed"]) == (None, False)
    assert found["error"] == "Nobody leads, so agents and tasks are not known"


def test_a_master_that_is_away_is_named(info: Any, pki: Pki) -> None:
    """One that cannot be reached is listed with the reason; the others count."""
    answers: dict[str, tuple[int, Any]] = {}
    with master(pki, answers) as gone:
        pass
    with master(pki, answers) as port:
        answers.update(leading(f"//m1:{port}/"))
        found = look(info, pki, gone, port)
    assert "cannot be asked: Connection refused" in found["masters"][0]["error"]
    assert found["agreed"] and found["agents"]


def test_a_certificate_of_another_authority_is_refused(info: Any, pki: Pki) -> None:
    """Whoever is not signed by the given authority is not asked anything."""
    with master(pki, leading("//m1:1/")) as port:
        found = look(info, pki, port, context=pki.context(info, trustme.CA()))
    assert "showed a certificate that does not fit" in found["masters"][0]["error"]


def test_a_certificate_of_another_name_is_refused(info: Any, pki: Pki) -> None:
    """The certificate has to name the master."""
    with master(pki, leading("//m1:1/"), "m2") as port:
        found = look(info, pki, port)
    assert "to name m1" in found["masters"][0]["error"]


def test_who_is_no_operator_is_told(info: Any, pki: Pki) -> None:
    """A refusal is the caller's certificate's affair, and said so."""
    answers: dict[str, tuple[int, Any]] = {}
    with master(pki, answers) as port:
        answers.update(leading(f"//m1:{port}/") | {"GET_AGENTS": (403, {})})
        found = look(info, pki, port)
    assert "has to be an operator's" in found["error"]


@pytest.mark.parametrize("part", ["ca", "cert"])
def test_text_that_is_no_certificate_is_named(info: Any, pki: Pki, part: str) -> None:
    """Which of the given texts is wrong is said, and nothing of a key."""
    good = pki.ca.cert_pem.bytes().decode()
    with pytest.raises(info.AskError) as raised:
        info.tls("no" if part == "ca" else good, "no", "secret")
    assert ("'ca'" in str(raised.value)) == (part == "ca")
    assert "secret" not in str(raised.value)
