"""Playbooks as Ansible reads them, and the clusters of the example."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path.name for path in (ROOT / "ansible").glob("*.yml"))
TAGGED = ("certificates", "zookeeper", "master", "agent", "connector")


#: The roles look at the host they are on, which is this one; nothing else is run.
ARGUMENTS = (
    *("tests/ansible/arguments.yml", "--tags", "none"),
    *("-e", "ansible_connection=local", "-e", "ansible_become=false"),
    *("-e", "ansible_python_interpreter={{ ansible_playbook_python }}"),
)


def clusters() -> dict[str, Any]:
    """The clusters of inventory.example: the active one, and those in comments."""
    text = (ROOT / "inventory.example").read_text()
    active = yaml.safe_load(text)
    found = {"active": active}
    for title, body in re.findall(r"^# ---- (\w+)[^\n]*\n((?:#[^\n]*\n?)*)", text, re.MULTILINE):
        lines = [line[6:] for line in body.splitlines() if line.startswith("#     ")]
        children = yaml.safe_load("\n".join(lines))
        found[title] = {"all": {"vars": active["all"]["vars"], "children": children}}
    return found


CLUSTERS = clusters()


def test_three_clusters_are_shown() -> None:
    """A small, a middle and a large one."""
    sizes = {
        name: len(cluster["all"]["children"].get("zookeeper", {}).get("hosts", {}))
        for name, cluster in CLUSTERS.items()
    }
    assert len(sizes) == 3
    assert sizes["active"] == 3 and 0 in sizes.values()


@pytest.mark.parametrize("name", CLUSTERS)
def test_an_example_loads_and_passes_the_checks(name: str, run: Run, tmp_path: Path) -> None:
    """Hosts come out as written, and every role takes their variables."""
    inventory = tmp_path / "hosts.yml"
    # Two hosts of each range say as much as forty.
    text = yaml.safe_dump(CLUSTERS[name])
    inventory.write_text(re.sub(r"\[(0*)1:\d+\]", r"[\g<1>1:\g<1>2]", text))
    listed = run("ansible-inventory", "-i", str(inventory), "--list")
    assert listed.returncode == 0, listed.stdout
    groups = json.loads(listed.stdout)
    assert groups["masters"]["hosts"] and groups["agents"]["hosts"]
    checked = run("ansible-playbook", "-i", str(inventory), *ARGUMENTS)
    assert checked.returncode == 0, checked.stdout
    assert "Validating arguments" in checked.stdout


def test_a_wrong_argument_is_refused(run: Run, tmp_path: Path) -> None:
    """The checks above do check."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump(CLUSTERS["active"]))
    checked = run("ansible-playbook", "-i", str(inventory), *ARGUMENTS, "-e", "master_port=five")
    assert checked.returncode != 0
    assert "master_port" in checked.stdout


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbooks_are_read(playbook: str, run: Run) -> None:
    """Every playbook passes Ansible's own check of its syntax."""
    done = run(
        "ansible-playbook", "-i", "inventory.example", f"ansible/{playbook}", "--syntax-check"
    )
    assert done.returncode == 0, done.stdout


def test_site_has_its_tags(run: Run) -> None:
    """Each role can be run alone, and each of its phases."""
    done = run("ansible-playbook", "-i", "inventory.example", "ansible/site.yml", "--list-tags")
    assert done.returncode == 0, done.stdout
    tags = set(re.findall(r"\w+", " ".join(re.findall(r"TASK TAGS: \[(.*?)\]", done.stdout))))
    wanted = {
        f"{role}{part}" for role in TAGGED for part in ("", "_install", "_configure", "_service")
    }
    assert wanted | {"validate", "smoke"} <= tags


@pytest.mark.timeout(900)
def test_lint_finds_nothing(run: Run) -> None:
    """The strictest profile, and nothing is skipped or ignored."""
    assert not (ROOT / ".ansible-lint-ignore").exists()
    done = run("ansible-lint", "--offline", "--profile", "production", "ansible", "roles")
    assert done.returncode == 0, done.stdout
