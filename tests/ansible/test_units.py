"""The units that the roles write: how exposed they are, and what they must say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
#: The most that `systemd-analyze security` may say.
EXPOSURE = {"mesos-twisted-master": 1.5, "mesos-twisted-connect": 1.5, "mesos-twisted-agent": 5.0}
VARIABLES = {
    "ansible_managed": "test",
    "mesos_cluster": "blue",
    "mesos_bin": "/bin/true",
    "mesos_release_dir": "/opt/mesos-twisted/releases/1",
    "mesos_config_dir": "/etc/mesos-twisted",
    "mesos_tls_dir": "/etc/mesos-twisted/tls",
    "master_limit_nofile": 65536,
    "master_memory_max": None,
    "agent_limit_nofile": 65536,
    "agent_memory_max": None,
    "agent_launcher_start": "socket",
    "agent_work_dir": "/var/lib/mesos-twisted/agent",
    "agent_runtime_dir": "/run/mesos-twisted/agent",
    "agent_tasks_limit_nofile": "1024:524288",
    "connector_limit_nofile": 65536,
    "connector_tls_key_source": "/etc/mesos-twisted/tls/connector-key.pem",
}
RENDER = """
import json, sys
from jinja2 import Environment, StrictUndefined
text, variables = json.load(sys.stdin)
options = {"trim_blocks": True, "keep_trailing_newline": True, "undefined": StrictUndefined}
sys.stdout.write(Environment(**options).from_string(text).render(variables))
"""


def template(unit: str) -> str:
    (path,) = ROOT.glob(f"roles/*/templates/{unit}.service.j2")
    return path.read_text()


@pytest.fixture
def render(appliance: Path) -> Callable[[str], str]:
    """A unit's text, as Ansible would write it."""

    def rendered(unit: str, **variables: object) -> str:
        done = subprocess.run(
            [str(appliance / "python"), "-c", RENDER],
            input=json.dumps([template(unit), VARIABLES | variables]),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    return rendered


@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_daemon_says_when_it_is_ready(unit: str, render: Callable[[str], str]) -> None:
    """Systemd knows when each serves, notices one that hangs, and starts it again."""
    lines = render(unit).splitlines()
    for line in ("Type=notify", "Restart=always", "RestartPreventExitStatus=2"):
        assert line in lines
    for name in ("WatchdogSec", "TasksMax", "LimitNOFILE", "OOMPolicy", "StartLimitBurst"):
        assert any(line.startswith(f"{name}=") for line in lines), name
    assert "ExecReload=/bin/kill -HUP $MAINPID" in lines


@pytest.mark.parametrize("unit", EXPOSURE)
def test_keys_are_credentials(unit: str, render: Callable[[str], str]) -> None:
    """The daemon is given its key by systemd; its user cannot read the file."""
    text = render(unit)
    assert re.search(r"^LoadCredential=tls-key:/etc/mesos-twisted/tls/\w+-key.pem$", text, re.M)
    assert "--tls_key_file=${CREDENTIALS_DIRECTORY}/tls-key" in text


def test_an_agent_that_starts_its_launcher_spares_its_tasks(render: Callable[..., str]) -> None:
    """Where tasks are below the agent's own unit, nothing that ends the agent ends them."""
    lines = render("mesos-twisted-agent", agent_launcher_start="own").splitlines()
    assert {"KillMode=process", "Slice=mesos-tasks.slice", "OOMPolicy=continue"} <= set(lines)
    assert not any(line.startswith(("NoNewPrivileges", "Protect", "Private")) for line in lines)


@pytest.mark.parametrize("unit", EXPOSURE)
def test_units_are_hardly_exposed(unit: str, render: Callable[[str], str], tmp_path: Path) -> None:
    """Systemd's own measure, where systemd is, and understands all that is written."""
    text = render(unit)
    assert "SystemCallFilter=@system-service" in text
    tool = shutil.which("systemd-analyze")
    if tool is None:
        return
    path = tmp_path / f"{unit}.service"
    path.write_text(text)
    done = subprocess.run(
        [tool, "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert score is not None, done.stderr
    assert float(score[1]) <= EXPOSURE[unit]
    assert "ignoring" not in done.stderr
