"""The rules of the house that no linter knows: purity of decisions, size of modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mesos_twisted"
MAX_LINES = 600
PURE = ("core", "views", "protocol", "resources")
PURE_FILES = (
    "errors.py",
    "units.py",
    "metrics/counters.py",
    "metrics/names.py",
    "election/membership.py",
    "registry/batch.py",
    "registry/layout.py",
    "registry/operations.py",
    "zookeeper/jute.py",
    "zookeeper/errors.py",
    "zookeeper/records.py",
    "zookeeper/url.py",
    "zookeeper/wire.py",
)
#: Names whose call asks the world for something: time, chance, files, the environment.
WORLDLY_ATTRIBUTES = {"now", "utcnow", "today", "uuid1", "uuid4", "urandom", "environ", "getenv"}
WORLDLY_NAMES = {"open", "print", "input", "exec", "eval"}


def modules() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if "generated" not in p.parts]


def pure_modules() -> Iterator[Path]:
    for path in modules():
        relative = path.relative_to(PACKAGE)
        if any(part in PURE for part in relative.parts[:-1]) or str(relative) in PURE_FILES:
            yield path


def worldly(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in WORLDLY_NAMES:
                yield f"line {node.lineno}: {node.func.id}()"
        elif isinstance(node, ast.Attribute) and node.attr in WORLDLY_ATTRIBUTES:
            # `event.now` is a value that came in; `datetime.now` asks a clock.
            if isinstance(node.value, ast.Name) and node.value.id in ("datetime", "uuid", "os"):
                yield f"line {node.lineno}: {node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", list(pure_modules()), ids=str)
def test_decisions_ask_the_world_nothing(path: Path) -> None:
    """Time, chance, files and output come in with events, or go out as effects."""
    assert list(worldly(ast.parse(path.read_text()))) == []


def test_the_purity_check_can_fail() -> None:
    tree = ast.parse("import datetime\ndatetime.now()\nopen('x')\n")
    assert len(list(worldly(tree))) == 2


def test_no_module_is_too_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := lines(p)) > MAX_LINES}
    assert long == {}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_every_module_opens_with_what_it_is_for() -> None:
    silent = [str(p) for p in modules() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []


def test_only_entry_modules_import_the_reactor() -> None:
    """Everything else is given one; `context.py` runs every command of the command line."""
    allowed = {"daemons.py", "__main__.py", "main.py", "sync.py", "fetch_main.py", "context.py"}
    guilty = [
        str(p.relative_to(ROOT))
        for p in modules()
        if p.name not in allowed and "internet import reactor" in p.read_text()
    ]
    assert guilty == []
