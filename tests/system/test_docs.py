"""What the documents tell a reader to type works as it stands."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.testing.daemons import any_port
from mesos_twisted.testing.processes import RunningCluster, wait_until
from mesos_twisted.testing.zookeeper import RealEnsemble

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")
#: Blocks with tests of their own, below.
ELSEWHERE = ("./run\n", "./test\n")


def blocks(path: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(path.read_text()) if kind == language]


def shell(script: str, folder: Path, timeout_s: float = 180) -> str:
    """The output of a script that must succeed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
    output = folder / "output.txt"
    # A file, not a pipe: daemons started in the background must not keep the test waiting.
    with output.open("w") as out:
        done = subprocess.run(
            ["sh", "-euc", script], cwd=folder, env=clean, stdout=out, stderr=out, timeout=timeout_s
        )
    text = output.read_text()
    assert done.returncode == 0, f"{script}\n{text}"
    return text


def with_sh() -> list[Path]:
    return [p for p in DOCUMENTS if any(b not in ELSEWHERE for b in blocks(p, "sh"))]


@pytest.fixture
def place(cluster: RunningCluster, tmp_path: Path) -> Iterator[Path]:
    """A folder like a reader's checkout while `./run` is up; daemons started in it are ended."""
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    (tmp_path / "cluster").symlink_to(cluster.root)
    yield tmp_path
    ends = {"agent": signal.SIGUSR1, "master": signal.SIGTERM, "connect": signal.SIGTERM}
    for name, signo in ends.items():
        path = tmp_path / f"{name}.pid"
        if path.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.read_text()), signo)
            line = Path(f"/proc/{path.read_text().strip()}/cmdline")
            wait_until(lambda line=line: not line.exists() or not line.read_bytes(), f"{name} ends")


@contextlib.contextmanager
def zookeeper(root: Path) -> Iterator[str]:
    """A server at the address it gives."""
    made = subprocess.run([ROOT / "tools/zookeeper.sh"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    ensemble = RealEnsemble.start(root)
    try:
        yield ensemble.hosts
    finally:
        ensemble.stop()


def python_of(client: str) -> Path:
    """The Python of somebody else's client, installed if it is not there yet."""
    tool = ROOT / "tools" / "clients.sh"
    done = subprocess.run([tool, client], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where = subprocess.check_output([tool, "--where"], text=True).strip()
    return Path(where) / client / "bin" / "python"


@pytest.mark.parametrize("document", with_sh(), ids=lambda path: path.name)
def test_what_to_type_works(cluster: RunningCluster, place: Path, document: Path) -> None:
    for number, text in enumerate(blocks(document, "python")):
        name = "hello.py" if number == 0 else f"hello{number}.py"
        (place / name).write_text(text)
    script = "".join(b for b in blocks(document, "sh") if b not in ELSEWHERE)
    if "-m bench" in script:
        # Minutes of measuring: the list shows that the command is there.
        (place / "bench").symlink_to(ROOT / "bench")
        script = "".join(line + "\n" for line in script.splitlines() if "--list" in line)
    if "mesos-twisted master" in script:
        # The document starts a cluster of its own; its ports may be taken here.
        for port in (5050, 5051):
            script = script.replace(str(port), str(any_port()))
        script = script.replace("\nexport ", f"\n{UP}export ", 1)
    else:
        script = script.replace("localhost:5050", cluster.master)
    with contextlib.ExitStack() as stack:
        if "zk://localhost:2181" in script:
            servers = stack.enter_context(zookeeper(place))
            script = script.replace("localhost:2181", servers).replace("5055", str(any_port()))
            script = script.replace("\npython ", f"\n{python_of('pymesos')} ")
        text = shell(script, place)
    for expected in SAID.get(document.name, ()):
        assert expected in text, text


#: A reader takes a moment between two blocks; the script waits for the agent instead.
UP = """
for i in $(seq 300); do grep -q 'is registered with master' agent.log && break; sleep 0.1; done
"""
SAID = {
    "README.md": ("hello from ", "AGENT", "FINISHED", '"cluster":"local"'),
    "clients.md": ("Announced in ZooKeeper as /mesos-local/", "TASK_RUNNING", "TASK_FINISHED"),
    "sdk.md": ("hello TASK_RUNNING", "hello TASK_FINISHED"),
    "certificates.md": (
        "Left certs/a2.pem as",
        "mesos://blue/operator/alice",
        "active",
        "hello\n",
        "still here\n",
    ),
}


def test_run_once_from_a_copy(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    listed = names.stdout.split("\n") if names.returncode == 0 else []
    for name in filter(None, listed or ["run", "tools/environment.sh", "pyproject.toml"]):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    if not listed:
        shutil.copytree(ROOT / "mesos_twisted", copy / "mesos_twisted")
        shutil.copytree(ROOT / "requirements", copy / "requirements")
    # The packages of this run, as if ./run had installed them before: no network in tests.
    (copy / ".venv").mkdir()
    prefix = Path(sys.executable).parent.parent
    for name in ("bin", "lib", "pyvenv.cfg"):
        (copy / ".venv" / name).symlink_to(prefix / name)
    stamp = (
        ". tools/environment.sh; base=$(find_python); "
        "printf '[%s-%s]\\n' \"$(cat requirements/runtime.txt pyproject.toml tools/environment.sh "
        '| cksum)" "$("$base" -c \'import sys; print(sys.version)\')" >.venv/stamp'
    )
    shell(stamp, copy)
    text = shell("./run --once", copy)
    assert "result: " in text and "preparing .venv" not in text, text
    assert (copy / "cluster/certs/ca.pem").exists()


def test_the_test_command_is_what_ci_runs() -> None:
    for name in ("run", "test", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec ./test")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    missing = [
        link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()
    ]
    assert not missing
