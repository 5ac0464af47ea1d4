"""One real cluster for the system tests that do not break it."""

from collections.abc import Iterator

import pytest

from mesos_twisted.testing.processes import RunningCluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A master and two agents, up for the whole session."""
    running = RunningCluster.start(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing system test shows the daemons' last lines."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy gives the result here
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, RunningCluster):
                report.sections.append(("daemon logs", value.logs()))
