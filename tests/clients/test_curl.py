"""curl, as the README shows it: with a client certificate, and through a connector."""

import json
import os
import subprocess

import pytest

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def certificate(cluster, name):
    return (
        "--cacert",
        f"{cluster.certs}/ca.pem",
        "--cert",
        f"{cluster.certs}/{name}.pem",
        "--key",
        f"{cluster.certs}/{name}-key.pem",
    )


def call(text):
    return ("--header", "Content-Type: application/json", "--data", text)


def test_an_operator_certificate_reads_the_state(cluster):
    state = json.loads(
        cluster.curl(*certificate(cluster, "operator"), f"https://{cluster.master}/state")
    )
    assert state["activated_slaves"] == 2 and state["cluster"] == "clients"
    agent = json.loads(
        cluster.curl(*certificate(cluster, "operator"), f"https://{cluster.agents[0]}/state")
    )
    assert agent["attributes"] == {"machine": "agent-1"}


def test_the_operator_api_answers(cluster):
    url = f"https://{cluster.master}/api/v1"
    answer = cluster.curl(*certificate(cluster, "operator"), *call('{"type":"GET_AGENTS"}'), url)
    assert len(json.loads(answer)["get_agents"]["agents"]) == 2


def test_without_a_certificate_nothing_is_told(cluster):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.curl("--cacert", f"{cluster.certs}/ca.pem", f"https://{cluster.master}/state")
    assert "401" in refused.value.stderr


def test_plaintext_is_dropped_without_a_word(cluster):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.curl(f"http://{cluster.master}/state")
    assert refused.value.returncode in (52, 56), refused.value.stderr


def test_a_connector_needs_no_certificate(cluster):
    for way in (
        (cluster.url("operator", "/state"),),
        ("--unix-socket", f"{cluster.root}/operator.sock", "http://localhost/state"),
        ("--compressed", cluster.url("operator", "/state")),
    ):
        assert json.loads(cluster.curl(*way))["activated_slaves"] == 2
    answer = cluster.curl(*call('{"type":"GET_HEALTH"}'), cluster.url("agent", "/api/v1"))
    assert json.loads(answer)["get_health"] == {"healthy": True}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_connector_serves_its_own_users_only(cluster):
    """The operator's connector was started without --allow_uid."""
    command = ["curl", "--silent", cluster.url("operator", "/state")]
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", *command], capture_output=True, text=True
    )
    assert "does not serve user 65534" in done.stdout
