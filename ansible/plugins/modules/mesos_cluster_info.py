#!/usr/bin/python
"""Asks a cluster's masters who leads, which agents there are and what they run."""

# Copyright: the mesos-twisted authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: mesos_cluster_info
short_description: Who leads a cluster, and which agents and tasks it has
version_added: "0.1.0"
description:
  - Asks every given master over mutual TLS, and the leader for agents and tasks.
  - Only reads, so it does in check mode what it does otherwise, and never reports a change.
  - A master that cannot be asked is no failure; it is listed with the reason. What is wanted of the
    answer, and for how long it is waited, is the caller's to say (C(until), C(retries)).
  - Certificates are given as text, so that the module works on the control host and on any other
    without leaving a key on its disk.
options:
  masters:
    description: The masters.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The host's name as its certificate has it.
        type: str
        required: true
      address:
        description: The address to connect to, where the name does not lead there.
        type: str
      port:
        description: The master's port.
        type: int
        default: 5050
  ca:
    description: The authorities that signed the masters' certificates, as PEM text.
    type: str
    required: true
  client_cert:
    description: The certificate to show, as PEM text; an operator's sees everything.
    type: str
    required: true
  client_key:
    description: The certificate's private key, as PEM text.
    type: str
    required: true
  timeout:
    description: Seconds for one answer.
    type: int
    default: 10
  gather_agents:
    description: Ask for agents and tasks, or for the masters alone.
    type: bool
    default: true
author:
  - The mesos-twisted authors
"""

EXAMPLES = r"""
- name: Wait for a leader that all masters agree on
  mesos_cluster_info:
    masters:
      - {name: m1.example.org, port: 5050}
    ca: "{{ lookup('ansible.builtin.file', 'pki/cluster/ca.pem') }}"
    client_cert: "{{ lookup('ansible.builtin.file', 'pki/cluster/operator.pem') }}"
    client_key: "{{ lookup('ansible.builtin.file', 'pki/cluster/operator-key.pem') }}"
  register: cluster
  until: cluster.agreed
  retries: 30
  delay: 2
"""

RETURN = r"""
leader:
  description: The leader as C(host:port); null while nobody leads.
  returned: always
  type: str
agreed:
  description: Every master that answers names the same leader, and at least one does.
  returned: always
  type: bool
masters:
  description: For each master, in the given order, its name, port, version, the leader that it sees
    (null for none), whether it leads, whether it is healthy, and otherwise the error.
  returned: always
  type: list
  elements: dict
agents:
  description: For each registered agent its id, hostname, port, version, whether it is active (it
    is connected, and nobody deactivated it) and deactivated; C(registered_ns) is when it last
    registered, and C(task_ids) are its tasks that have not ended, as C(framework/task).
  returned: always
  type: list
  elements: dict
ended:
  description: Tasks that the leader remembers as ended, unreachable or lost, by C(framework/task),
    with their state.
  returned: always
  type: dict
tasks:
  description: How many tasks are in which state, those that ended included.
  returned: always
  type: dict
error:
  description: Why the leader could not be asked for agents and tasks; null when it could.
  returned: always
  type: str
"""

ENDED = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED")
ENDED += ("TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNREACHABLE", "TASK_UNKNOWN")
TIMES = ("registered_time", "reregistered_time")


class AskError(Exception):
    """A sentence on why a master could not be asked."""


class Connection(http.client.HTTPSConnection):
    """To an address, under the certificate of a name."""

    def __init__(self, name: str, port: int, address: str, context: ssl.SSLContext, timeout: int):
        super().__init__(name, port, timeout=timeout)
        self._address, self._tls = address, context

    def connect(self) -> None:
        raw = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
        except Exception:
            raw.close()
            raise


class Asker:
    """Asks masters by name."""

    def __init__(self, masters: list[dict[str, Any]], context: ssl.SSLContext, timeout: int):
        self._addresses = {(one["name"], one["port"]): one["address"] for one in masters}
        self._context, self._timeout = context, timeout

    def ask(
        self, name: str, port: int, path: str, call: dict[str, Any] | None = None
    ) -> tuple[int, str, bytes]:
        """Status, Location and body of one answer. Raises AskError."""
        where = f"{name}:{port}"
        address = self._addresses.get((name, port)) or name
        connection = Connection(name, port, address, self._context, self._timeout)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = None if call is None else json.dumps(call)
        try:
            connection.request("GET" if call is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location") or "", answer.read()
        except ssl.SSLCertVerificationError as error:
            raise AskError(
                f"{where} showed a certificate that does not fit: {error.verify_message}; it has "
                f"to be signed by the given authority and to name {name}"
            ) from None
        except ssl.SSLError as error:
            reason = error.reason or error
            raise AskError(
                f"{where} ended the handshake ({reason}); is the client certificate signed by its "
                "authority, current, and not revoked?"
            ) from None
        except socket.gaierror:
            raise AskError(f"{address} is no name that this host knows; give an address") from None
        except TimeoutError:
            raise AskError(f"{where} at {address} did not answer in {self._timeout} s") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or error
            raise AskError(f"{where} at {address} cannot be asked: {reason}") from None
        finally:
            connection.close()

    def document(self, name: str, port: int, path: str, call: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer. Raises AskError."""
        status, _, body = self.ask(name, port, path, call)
        what = path if call is None else str(call["type"])
        if status in (401, 403):
            raise AskError(
                f"{name}:{port} refused {what} ({status}); the client certificate has to be an "
                "operator's"
            )
        if status != 200:
            said = body[:200].decode(errors="replace").strip()
            raise AskError(f"{name}:{port} answered {what} with status {status}: {said}")
        try:
            return json.loads(body)
        except ValueError:
            raise AskError(f"{name}:{port} answered {what} with something else than JSON") from None

    def master(self, name: str, port: int) -> dict[str, Any]:
        """What one master says of itself, or why it cannot be asked."""
        out: dict[str, Any] = {"name": name, "port": port, "healthy": False, "leader": None}
        out.update(leads=False, version=None, error=None)
        try:
            status, _, _ = self.ask(name, port, "/health")
            out["healthy"] = status == 200
            out["version"] = self.document(name, port, "/version").get("version")
            status, location, _ = self.ask(name, port, "/redirect")
            if status == 307:
                out["leader"] = urllib.parse.urlsplit(location).netloc or None
                out["leads"] = out["leader"] == f"{name}:{port}"
        except AskError as error:
            out["healthy"] = False
            out["error"] = str(error)
        return out

    def agents_and_tasks(self, leader: str) -> dict[str, Any]:
        """Agents and tasks as the leader has them. Raises AskError."""
        name, _, port = leader.rpartition(":")
        seen = self.document(name, int(port), "/api/v1", {"type": "GET_AGENTS"})
        tasks = self.document(name, int(port), "/api/v1", {"type": "GET_TASKS"})
        return summary(
            seen.get("get_agents", {}).get("agents", []),
            [task for group in tasks.get("get_tasks", {}).values() for task in group],
        )


def nanoseconds(name: str, agent: dict[str, Any]) -> int:
    """A time of an agent; 0 when it has none."""
    return int(agent.get(name, {}).get("nanoseconds", 0))


def summary(agents: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """`agents`, `ended` and `tasks` as they are returned, of the v1 API's messages."""
    live: dict[str, list[str]] = {}
    ended: dict[str, str] = {}
    count: dict[str, int] = {}
    for task in tasks:
        state = task.get("state", "TASK_STAGING")
        key = f"{task['framework_id']['value']}/{task['task_id']['value']}"
        count[state] = count.get(state, 0) + 1
        if state in ENDED:
            ended[key] = state
        else:
            live.setdefault(task.get("agent_id", {}).get("value", ""), []).append(key)
    out = []
    for agent in agents:
        info = agent["agent_info"]
        found = live.get(info["id"]["value"], [])
        out.append(
            {
                "id": info["id"]["value"],
                "hostname": info["hostname"],
                "port": info.get("port", 5051),
                "version": agent.get("version"),
                "active": agent.get("active", False),
                "deactivated": agent.get("deactivated", False),
                "registered_ns": max(map(nanoseconds, TIMES, [agent] * len(TIMES))),
                "task_ids": sorted(found),
            }
        )
    out.sort(key=lambda one: (one["hostname"], one["port"], one["id"]))
    return {"agents": out, "ended": ended, "tasks": count}


@contextmanager
def secret_file(text: str) -> Iterator[str]:
    """A path that holds the text for as long as it is needed, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("mesos-cluster-info", os.MFD_CLOEXEC)
        try:
            os.write(number, text.encode())
            yield f"/proc/self/fd/{number}"
        finally:
            os.close(number)
    else:
        with tempfile.NamedTemporaryFile("w", prefix="mesos-cluster-info-") as file:
            file.write(text)
            file.flush()
            yield file.name


def tls(ca: str, cert: str, key: str) -> ssl.SSLContext:
    """A client's context. Raises AskError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise AskError("'ca' is no PEM text of certificates") from None
    try:
        with secret_file(cert.rstrip() + "\n" + key) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError, OSError):
        raise AskError("'client_cert' and 'client_key' are no certificate with its key") from None
    return context


def look(asker: Asker, masters: list[dict[str, Any]], gather_agents: bool) -> dict[str, Any]:
    """The whole answer."""
    seen = [asker.master(one["name"], one["port"]) for one in masters]
    leaders = {one["leader"] for one in seen if one["error"] is None}
    named = [one["leader"] for one in seen if one["leader"]]
    leading = [one["leader"] for one in seen if one["leads"]]
    leader = (leading or named or [None])[0]
    out: dict[str, Any] = {"leader": leader, "masters": seen, "error": None}
    out["agreed"] = len(leaders) == 1 and leader is not None
    out.update(agents=[], ended={}, tasks={})
    if gather_agents and leader is None:
        out["error"] = "Nobody leads, so agents and tasks are not known"
    elif gather_agents:
        try:
            out.update(asker.agents_and_tasks(leader))
        except AskError as error:
            out["error"] = str(error)
    return out


def main() -> None:
    """Ask and answer."""
    module = AnsibleModule(
        argument_spec={
            "masters": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str"},
                    "port": {"type": "int", "default": 5050},
                },
            },
            "ca": {"type": "str", "required": True},
            "client_cert": {"type": "str", "required": True},
            "client_key": {"type": "str", "required": True, "no_log": True},
            "timeout": {"type": "int", "default": 10},
            "gather_agents": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        context = tls(given["ca"], given["client_cert"], given["client_key"])
    except AskError as error:
        module.fail_json(msg=f"{error}.")
    asker = Asker(given["masters"], context, given["timeout"])
    module.exit_json(changed=False, **look(asker, given["masters"], given["gather_agents"]))


if __name__ == "__main__":
    main()
