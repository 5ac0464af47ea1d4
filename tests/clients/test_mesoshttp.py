"""mesoshttp 0.4.2, unmodified: over TLS to the master with a password, and through a connector."""

from urllib.parse import quote

import pytest

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]


def check(cluster, seen):
    """One task ended, one was killed, and the framework is gone."""
    assert seen["problems"] == []
    assert ["short", "TASK_FINISHED"] in seen["updates"]
    assert ["long é", "TASK_KILLED"] in seen["updates"]
    assert seen["master"] == "localhost"
    completed = {f["id"]: f["name"] for f in cluster.state()["completed_frameworks"]}
    assert completed[seen["framework"]] == "mesoshttp ☃"


def test_over_tls_to_the_master_with_basic_authentication(cluster, run_program):
    """It has no client certificate: its principal and secret stand in the URL."""
    secret = "a secret of the tests"
    check(
        cluster,
        run_program(
            "mesoshttp",
            "mesoshttp_scheduler.py",
            f"https://basic:{quote(secret)}@{cluster.master}",
            "basic",
            secret,
            env={"REQUESTS_CA_BUNDLE": f"{cluster.certs}/ca.pem"},
        ),
    )


def test_with_a_wrong_secret_it_is_refused(cluster, run_program):
    """It sees no framework id and no offers."""
    seen = run_program(
        "mesoshttp",
        "mesoshttp_scheduler.py",
        f"https://basic:wrong@{cluster.master}",
        env={"REQUESTS_CA_BUNDLE": f"{cluster.certs}/ca.pem"},
    )
    assert seen["framework"] is None and not seen["updates"]


def test_through_a_connector(cluster, run_program):
    url = f"http://127.0.0.1:{cluster.port['framework']}"
    check(cluster, run_program("mesoshttp", "mesoshttp_scheduler.py", url))
