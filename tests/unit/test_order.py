"""Long files run first; nothing else moves."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture
def conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("order", TESTS / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Item:
    """What the hook looks at."""

    path: Path
    name: str


def test_the_long_files_are_there(conftest: ModuleType) -> None:
    """A file that was renamed or split keeps its place only when it is named anew."""
    assert [name for name in conftest.LONG if not (TESTS / name).is_file()] == []
    assert len(set(conftest.LONG)) == len(conftest.LONG)


def test_they_come_first_and_the_rest_stays(conftest: ModuleType) -> None:
    second, first = (TESTS / name for name in conftest.LONG[1::-1])
    other, another = TESTS / "unit" / "b.py", TESTS / "unit" / "a.py"
    given = [
        *(Item(other, "1"), Item(second, "2"), Item(another, "3"), Item(first, "4")),
        *(Item(second, "1"), Item(other, "0"), Item(first, "3")),
    ]
    sorted_items = list(given)
    conftest.pytest_collection_modifyitems(sorted_items)
    assert [(item.path, item.name) for item in sorted_items] == [
        *((first, "4"), (first, "3"), (second, "2"), (second, "1")),
        *((other, "1"), (another, "3"), (other, "0")),
    ]
