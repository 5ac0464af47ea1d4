"""tools/environment.sh where Python has neither venv nor pip."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "environment.sh"


@pytest.mark.parametrize(("user", "sudo"), [("1000", "sudo "), ("0", "")])
def test_what_to_run_is_one_line_to_copy(tmp_path: Path, user: str, sudo: str) -> None:
    """Neither asks for more than the reader knows: the whole command, and the script again."""
    for name, body in (
        ("bare-python", "echo ensurepip is not available; exit 1"),
        ("id", f"echo {user}"),
        ("apt-get", "exit 1"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-euc", f". {SCRIPT}; base=bare-python; make_venv", "./run"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and not (tmp_path / ".venv").exists()
    command = f"{sudo}apt-get update && {sudo}apt-get install -y python3-venv && ./run"
    assert done.stderr.splitlines()[-1] == f"./run: Python has no venv here; run: {command}"
