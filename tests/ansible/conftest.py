"""What the tests of the appliance have in common: its environment and its commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def appliance() -> Path:
    """Where Ansible and its companions are; made when they are not there."""
    tool = str(ROOT / "tools" / "appliance.sh")
    subprocess.run([tool], check=True)
    where = subprocess.run([tool, "--where"], check=True, capture_output=True, text=True)
    return Path(where.stdout.strip()) / "bin"


@pytest.fixture(scope="session")
def run(appliance: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run one of the appliance's commands in the project's root; output and status come back."""
    home = tmp_path_factory.mktemp("ansible")

    def run_it(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PATH": f"{appliance}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_NOCOLOR": "1",
            "NO_COLOR": "1",
        }
        return subprocess.run(
            [str(appliance / command), *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    return run_it
