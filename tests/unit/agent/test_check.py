"""Settings that cannot work are refused in one sentence that names the flag, before files are
opened."""

from pathlib import Path

import pytest

from mesos_twisted import daemons
from mesos_twisted.agent import main
from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.config import load
from mesos_twisted.errors import MesosError

LONG = "/" + "x" * 120
WRONG = [
    ("--master=http://h:5050", "--master", "'http://h:5050' is not supported"),
    ("--master=h:0", "--master", "'h:0' is not an address"),
    ("--master=::1:5050", "--master", "brackets"),
    ("--master=,", "--master", "is empty"),
    ("--ip=host", "--ip", "'host' is not an IP address"),
    ("--ip=0.0.0.0", "--ip", "--advertise_ip"),
    ("--resources=cpus:x", "--resources", "'cpus' has the value 'x'"),
    ("--resources=cpus", "--resources", "'cpus:4'"),
    ('--resources=[{"name":1}]', "--resources", ""),
    ("--default_role=a b", "--default_role", "white space"),
    ("--attributes=rack", "--attributes", "'rack:abc'"),
    ("--acls={", "--acls", "not valid JSON"),
    ('--acls={"run_task":[]}', "--acls", "unknown key"),
    ("--domain={", "--domain", "not valid JSON"),
    ('--domain={"fault_domain":{"region":{"name":"a"}}}', "--domain", "fault_domain.zone"),
    ("--executor_environment_variables=[1]", "--executor_environment_variables", "JSON object"),
    ('--executor_environment_variables={"A":1}', "--executor_environment_variables", "texts"),
    ('--executor_environment_variables={"A=":"1"}', "--executor_environment_variables", "'A='"),
    ("--isolation=cgroups/cpu", "--isolation", "choose from posix/cpu"),
    ("--containerizers=docker", "--containerizers", "mesos"),
    ("--gc_disk_headroom=2", "--gc_disk_headroom", "0 to 1"),
    ("--container_logger_max_files=-1", "--container_logger_max_files", "0 or more"),
    (f"--runtime_dir={LONG}", "--runtime_dir", "107 bytes"),
    (f"--domain_socket_location={LONG}", "--domain_socket_location", "107 bytes"),
    ("--domain_socket_location=systemd:x", "--domain_socket_location", "no absolute path"),
    ("--gc_delay=soon", "--gc_delay", "'soon'"),
    ("--recover=never", "--recover", "reconnect, cleanup"),
    ("--fetcher_cache_size=big", "--fetcher_cache_size", "'big'"),
]


@pytest.mark.parametrize(("given", "flag", "words"), WRONG)
def test_a_wrong_value_is_told_before_a_missing_file(given: str, flag: str, words: str) -> None:
    """No certificate exists here, and that is not what is said."""
    argv = [
        "--http_executor_domain_sockets",
        "--tls_ca_file=/nonexistent/ca",
        *([] if flag == "--master" else ["--master=localhost:5050"]),
        given,
    ]
    with pytest.raises(MesosError) as told:
        main.check(load(AgentConfig, argv, {}).config)
    sentence = str(told.value)
    assert flag in sentence and words in sentence and "\n" not in sentence
    assert "/nonexistent" not in sentence


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "--tls_ca_file is required"),
        (("--tls_ca_file=/nonexistent/ca",), "--tls_cert_file is required"),
        (
            (
                "--tls_ca_file=/nonexistent/ca",
                "--tls_cert_file=/nonexistent/cert",
                "--tls_key_file=/nonexistent/key",
            ),
            "/nonexistent/ca cannot be read",
        ),
    ],
)
def test_then_the_files_are_told(given: tuple[str, ...], words: str) -> None:
    """Each missing one by its flag or its path."""
    with pytest.raises(MesosError) as told:
        main.check(load(AgentConfig, ("--master=localhost:5050", *given), {}).config)
    assert words in str(told.value)


def test_the_process_says_one_line_and_ends_with_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is made in the work directory."""
    argv = ["--master=localhost:5050", "--resources=cpus:x", f"--work_dir={tmp_path}/work"]
    assert daemons.start("agent", argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--resources" in line
    assert not (tmp_path / "work").exists()
