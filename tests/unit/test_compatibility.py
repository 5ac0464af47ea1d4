"""docs/compatibility.md names tests that exist, and leaves out none of those on a real cluster."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "compatibility.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named() -> set[tuple[str, str]]:
    return set(NAMED.findall(TABLE.read_text()))


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_test_of_the_table_exists() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named())
        if not (ROOT / path).exists() or name not in names_in(ROOT / path)
    ]
    assert missing == [] and len(named()) > 100


def test_every_behaviour_on_a_real_cluster_is_in_the_table() -> None:
    known = named()
    forgotten = [
        f"{path.name}::{name}"
        for path in sorted((ROOT / "tests" / "behaviours").glob("test_*.py"))
        for name in sorted(names_in(path))
        if (str(path.relative_to(ROOT)), name) not in known
    ]
    assert forgotten == []


def test_every_row_of_behaviours_has_a_test() -> None:
    rows = TABLE.read_text().partition("## What differs on purpose")[0].splitlines()
    bare = [row for row in rows if row.startswith("| ") and "| tests |" not in row]
    assert [row for row in bare if not NAMED.search(row)] == [] and len(bare) > 40
