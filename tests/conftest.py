"""What holds for every test."""

from pathlib import Path

import pytest

#: Launchers find a container's processes by its id, and tests of different processes use the same
#: short ids: what starts launchers runs in one worker.
LAUNCHERS = ("tests/unit/containerizer", "tests/unit/agent/net")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).resolve().parent.parent
    for item in items:
        path = item.path.relative_to(root).as_posix()
        if path.startswith(LAUNCHERS) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("launchers"))
