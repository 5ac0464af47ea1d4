"""Paths to pages, as libprocess routes them."""

import pytest

from mesos_twisted.master.net.router import Router

ROUTES = dict.fromkeys(["/state", "/api/v1", "/api/v1/scheduler", "/metrics", "/metrics/snapshot"])


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/state", "/state"),
        ("/state/", "/state"),
        ("/state.json", "/state"),
        ("/master/state", "/state"),
        ("/master/state.json", "/state"),
        ("/api/v1/operator", "/api/v1"),
        ("/api/v1/scheduler", "/api/v1/scheduler"),
        ("/api/v1/schedulers", "/api/v1"),
        ("/master/api/v1/scheduler/", "/api/v1/scheduler"),
        ("/metrics/snapshot", "/metrics/snapshot"),
        ("/stateful", None),
        ("/master", None),
        ("/", None),
        ("", None),
    ],
)
def test_longest_prefix(path: str, page: str | None) -> None:
    """The longest known path before it wins; whole segments only."""
    router = Router(ROUTES)  # type: ignore[arg-type]
    assert router.find(path) == page
    assert router.find(path) == page
