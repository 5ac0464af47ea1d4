"""A browser's user is not used by other sites."""

import pytest

from mesos_twisted.testing.master_service import Make, MasterWorld

TEARDOWN = b"frameworkId=x"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "host": "master:5050"},
        {"origin": "null", "host": "master:5050"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_other_sites_change_nothing(world: MasterWorld, headers: dict[str, str]) -> None:
    """Neither by form nor by call."""
    assert world.request("POST", "/teardown", TEARDOWN, **headers).status == 403
    assert world.request("POST", "/api/v1", {"type": "GET_HEALTH"}, **headers).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://master:5050", "host": "master:5050"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
    ],
)
def test_our_own_page_and_programs_may(world: MasterWorld, headers: dict[str, str]) -> None:
    """The request is judged as any other."""
    assert world.request("POST", "/teardown", TEARDOWN, **headers).status == 400


def test_other_sites_read_nothing_by_script(world: MasterWorld) -> None:
    """A script tag with jsonp gets nothing; following a link is fine."""
    steal = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}
    assert world.request("GET", "/state?jsonp=steal", **steal).status == 403
    steal["sec_fetch_site"] = "same-site"  # A task's own page on an agent's host is that.
    assert world.request("GET", "/state?jsonp=steal", **steal).status == 403
    follow = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert world.request("GET", "/state", **follow).status == 200


def test_a_link_changes_nothing(world: MasterWorld) -> None:
    """Also where a GET would."""
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    target = "/logging/toggle?level=1&duration=1secs"
    assert world.request("GET", target, **link).status == 403
    assert world.request("GET", target).status == 200


def test_what_is_open_is_open_to_all(make: Make) -> None:
    """Where nobody must prove anything there is nothing to abuse, and old dashboards work."""
    world = make(authenticate_http_readonly=False)
    steal = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}
    assert world.request("GET", "/state?jsonp=f", role=None, **steal).status == 200


def test_what_is_open_is_changed_by_nobodys_page(make: Make) -> None:
    """A page of another site would act with its reader's place in the network."""
    world = make(authenticate_http_readwrite=False)
    form = {"origin": "https://evil.example", "host": "master:5050"}
    assert world.request("POST", "/teardown", TEARDOWN, role=None, **form).status == 403
    assert world.request("POST", "/teardown", TEARDOWN, role=None).status == 400


def test_without_authentication_all_is_visible(make: Make) -> None:
    """And a framework is who it says it is."""
    world = make(
        authenticate_http_readonly=False,
        authenticate_http_readwrite=False,
        authenticate_http_frameworks=False,
    )
    body = {
        "type": "SUBSCRIBE",
        "subscribe": {"framework_info": {"user": "u", "name": "n", "principal": "p"}},
    }
    stream = world.open("/api/v1/scheduler", body, role=None)
    assert stream.events()[0]["type"] == "SUBSCRIBED"
    page = world.get("/state", role=None)[1]
    assert page["frameworks"][0]["principal"] == "p" and "flags" in page
    framework_id = page["frameworks"][0]["id"]
    teardown = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": framework_id}}}
    assert world.call(teardown, role=None)[0] == 200
