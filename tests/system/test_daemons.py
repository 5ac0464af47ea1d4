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
        (("agent", "--master=localhost:5050", "--resources=cpus:x"), "cpus"),
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


def test_check_config_checks_and_starts_nothing(tmp_path: Path) -> None:
    certs = str(tmp_path / "certs")
    assert run("certs", "init", "--dir", certs, "--cluster", "c").returncode == 0
    issue = ("certs", "issue", "--dir", certs, "--role", "master", "--name", "master")
    assert run(*issue, "--host", "localhost").returncode == 0
    done = run(
        "master",
        "--check-config",
        f"--work_dir={tmp_path}/work",
        f"--tls_cert_file={certs}/master.pem",
        f"--tls_key_file={certs}/master-key.pem",
        f"--tls_ca_file={certs}/ca.pem",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "work").exists()
