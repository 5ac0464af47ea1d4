"""The newcomer's command: a cluster, a distributed job, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mesos_twisted.local.layout import Layout
from mesos_twisted.testing.processes import RunningCluster, wait_until

pytestmark = pytest.mark.system
WORD = re.compile(r"[a-z']+")


def demo(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mesos_twisted", "demo", "--port=0", "--dir", str(root), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def texts(folder: Path) -> list[Path]:
    """Four texts, two of one name, with words of every kind."""
    out = []
    for number in range(4):
        path = folder / str(number) / "same name.txt"
        path.parent.mkdir(parents=True)
        path.write_text("the quick brown fox " * (number + 1) + "isn't é\n")
        out.append(path)
    return out


def test_once_counts_words_on_both_agents_and_ends(tmp_path: Path) -> None:
    files = texts(tmp_path / "texts")
    # Deeper than a socket's path may be.
    root = tmp_path / ("deep" * 20) / "cluster"
    process = demo(root, "--once", *map(str, files))
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    expected: Counter[str] = Counter()
    for path in files:
        expected.update(WORD.findall(path.read_text().lower()))
    total, different = sum(expected.values()), len(expected)
    assert f"result: {total} words, {different} different ones, counted on 2 agents" in output
    assert f"{expected['the']:>8}  the" in output
    left = RunningCluster(root, process, "")
    wait_until(lambda: not left.processes(), "no process is left", 10)
    assert not Layout(root, 2).far.exists()


def test_once_says_why_it_failed(tmp_path: Path) -> None:
    process = demo(tmp_path / "cluster", "--once", str(tmp_path / "missing.txt"))
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"{tmp_path}/missing.txt is not a readable file" in output


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    root = tmp_path / "cluster"
    process = demo(root, *map(str, texts(tmp_path / "texts")))
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "Ctrl-C ends the cluster" in line:
            break
    text = "".join(seen)
    assert "result:" in text and "state page: https://" in text, text
    assert text.count("mesos-twisted run ") == 1 and "curl --cacert" in text
    # A terminal sends it to every process of the foreground group.
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    left = RunningCluster(root, process, "")
    wait_until(lambda: not left.processes(), "no process is left", 10)
    secret = (root / "operator.secret").read_text().strip()
    assert (root / "operator.secret").stat().st_mode & 0o777 == 0o600
    assert secret not in text and all(secret not in log.read_text() for log in root.rglob("*.log"))
