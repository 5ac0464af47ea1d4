"""Starting, refusing to start, and ending the daemons, as an operator does."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system


def run(*arguments: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesos_twisted", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("master", "--nonsense=1"), "Unknown flag '--nonsense'"),
        (("master", "--port=x"), "Bad value for --port"),
        (("master", "--agent_ping_timeout=15"), "is not a duration"),
        (("agent", "--nonsense"), "Unknown flag '--nonsense'"),
        (("agent", "--port=1"), "--master"),
        (("master", "--tls_cert_file=/no/such.pem", "--tls_key_file=/no/such"), "/no/such"),
        (("master", "--acls={"), "acls"),
        (("agent", "--master=localhost:5050"), "--tls_ca_file"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_status_2(
    arguments: tuple[str, ...], sentence: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and sentence in lines[0], done.stderr


@pytest.mark.parametrize("name", ["master", "agent", "connect"])
def test_help_is_printed(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0 and "--tls_cert_file" in done.stdout


def certificates(folder: Path, role: str) -> tuple[str, ...]:
    """The TLS flags of a daemon, with fresh certificates behind them."""
    certs = str(folder / "certs")
    assert run("certs", "init", "--dir", certs, "--cluster", "c").returncode == 0
    issue = ("certs", "issue", "--dir", certs, "--role", role, "--name", "one")
    assert run(*issue, "--host", "localhost").returncode == 0
    files = {"cert": "one", "key": "one-key", "ca": "ca"}
    return tuple(f"--tls_{kind}_file={certs}/{name}.pem" for kind, name in files.items())


def test_check_config_checks_and_starts_nothing(tmp_path: Path) -> None:
    flags = certificates(tmp_path, "master")
    done = run("master", "--check-config", f"--work_dir={tmp_path}/work", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "work").exists()


def test_an_agent_s_resources_are_checked(tmp_path: Path) -> None:
    flags = certificates(tmp_path, "agent")
    words = ("agent", "--check-config", "--master=localhost:5050", f"--work_dir={tmp_path}/work")
    for resources in ("cpus:x", "cpus", "cpus:-1"):
        done = run(*words, f"--resources={resources}", *flags)
        assert done.returncode == 2 and "cpus" in done.stderr, (resources, done.stderr)
        assert len(done.stderr.splitlines()) == 1
    assert run(*words, "--resources=cpus:1;mem:64", *flags).returncode == 0
    assert not (tmp_path / "work").exists()
