"""`./test` runs its steps side by side, shows all they say in order, and fails when one does."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "check.py"


@pytest.fixture
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check"] = module
    spec.loader.exec_module(module)
    return module


def ran(check: ModuleType, *steps: tuple[str, str, str]) -> tuple[list[str], list[str]]:
    """The names of those that failed, and what was shown but the times."""
    out = io.BytesIO()
    made = [check.Step(name, ["sh", "-c", script], lane) for name, script, lane in steps]
    failed = check.run(made, os.environ, out)
    lines = out.getvalue().decode().splitlines()
    return failed, [line.rpartition(": ")[0] if line.endswith(" s") else line for line in lines]


def test_lanes_run_side_by_side_and_are_shown_in_order(check: ModuleType, tmp_path: Path) -> None:
    """Each waits for what the other lane does: one after the other, neither would end."""
    pipes = [str(tmp_path / name) for name in ("there", "back")]
    for pipe in pipes:
        os.mkfifo(pipe)
    there, back = pipes
    failed, shown = ran(
        check,
        ("one", f"cat {there}; echo pong > {back}", "a"),
        ("two", "echo two", "a"),
        ("three", f"echo ping > {there}; cat {back}", "b"),
    )
    assert failed == []
    assert shown == [
        *("== one", "ping", "== one"),
        *("== two", "two", "== two"),
        *("== three", "pong", "== three"),
    ]


def test_a_failing_step_is_shown_whole_and_stops_no_other(check: ModuleType) -> None:
    """What it wrote to either stream is there, however much; the next of its lane runs."""
    failed, shown = ran(
        check,
        ("long", "seq 300000; echo wrong >&2; exit 3", "a"),
        ("absent", "exec /nowhere/at-all", "b"),
        ("next", "echo next", "a"),
    )
    assert failed == ["long", "absent"]
    assert shown[1:300002] == [*map(str, range(1, 300001)), "wrong"]
    assert any("/nowhere/at-all" in line for line in shown)
    assert shown[-3:] == ["== next", "next", "== next"]


def test_a_step_that_cannot_start_fails_and_the_lane_goes_on(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    failed, shown = ran(check, ("one", "true", "a"), ("two", "true", "a"))
    assert failed == ["one", "two"]
    assert shown[1].startswith("nice cannot be run")


def test_every_step_of_before_is_a_step(check: ModuleType) -> None:
    """Nothing that must hold is left out of `./test`."""
    assert {step.name for step in check.STEPS} >= {
        *("generated protocol", "generated documents", "lint", "format", "layers", "types"),
        *("clients of others", "browser", "zookeeper", "simulator", "tests"),
    }
    # What the tests need is installed before they run.
    speaks = [step.name for step in check.STEPS if step.lane == "speaks"]
    assert speaks == ["clients of others", "browser", "zookeeper", "appliance", "tests"]


def test_main_exits_with_1_and_names_what_failed(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "STEPS", (check.Step("bad", ["false"], "a"),))
    assert check.main([]) == 1
    assert "Failed: bad" in capfd.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["/proc/self/status"]])
def test_started_in_the_background_it_tests_interrupts_all_the_same(arguments: list[str]) -> None:
    """A shell lets what it puts in the background ignore SIGINT, and all that starts inherits it:
    every test of Ctrl-C would wait in vain."""
    probe = (
        "import sys; sys.path.insert(0, sys.argv[1]); import check;"
        "look = ['grep', 'SigIgn', '/proc/self/status'];"
        "check.PYTEST = look[:2]; check.STEPS = (check.Step('look', look, 'a'),);"
        f"sys.exit(check.main({arguments}))"
    )
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", probe]
    done = subprocess.run([*command, str(TOOL.parent)], capture_output=True, text=True, check=True)
    [said] = [line for line in done.stdout.splitlines() if line.startswith("SigIgn")]
    assert not int(said.split()[1], 16) & 1 << signal.SIGINT - 1
