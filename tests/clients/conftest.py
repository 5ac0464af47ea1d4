"""A real cluster and connectors for clients that nobody here wrote.

One master and two agents over mutual TLS, as processes; connectors for a framework, an operator,
clients with a secret of their own, and one agent. The agents stand for two machines: each has a
host name and a dpark work directory of its own (a mount namespace). Programs run with each client's
own Python; see tools/clients.sh.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.security.core.credentials import hash_secret
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.security.net.files import create_private
from mesos_twisted.testing.processes import wait_until
from mesos_twisted.testing.zookeeper import RealEnsemble

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
HOSTS = ("localhost", "127.0.0.1")  # the agents' host names: two machines to a scheduler
NORMAL_USER = "nobody"
SECRET = "a secret of the tests"
START_S = 120.0
STOP_S = 40.0


def free_ports(count: int) -> list[int]:
    """Ports of loopback nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def private_mount(directory: Path) -> list[str]:
    """What runs the rest of a command line with an empty directory of its own at `directory`."""
    script = 'mount -t tmpfs -o mode=1777 tmpfs "$0" && exec "$@"'
    if os.geteuid() == 0:
        return ["unshare", "--mount", "sh", "-c", script, str(directory)]
    drop = ["setpriv", "--ambient-caps=-all", "--inh-caps=-all"]
    keep = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
    return [*keep, "sh", "-c", script, str(directory), *drop]


@dataclass
class ClientCluster:
    """The cluster; `port` names the plaintext door of each connector."""

    root: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    port: dict[str, int] = field(default_factory=dict)
    master: str = ""
    agents: tuple[str, ...] = ()
    masters: dict[str, int] = field(default_factory=dict)
    #: With it there are three masters, and everybody finds the leader by it.
    ensemble: RealEnsemble | None = None

    @property
    def certs(self) -> Path:
        """Certificates and keys: `<name>.pem`, `<name>-key.pem`, `ca.pem`."""
        return self.root / "certs"

    @property
    def local(self) -> str:
        """Where clients that look in ZooKeeper find the framework's connector."""
        assert self.ensemble is not None
        return f"zk://{self.ensemble.hosts}/mesos-local"

    @property
    def dpark_directory(self) -> Path:
        """Where dpark keeps its work; each agent sees its own."""
        return self.root / "dpark"

    @property
    def dpark_conf(self) -> Path:
        """dpark's settings, the same on every machine of a cluster."""
        return self.root / "dpark.conf"

    def tls(self, name: str) -> list[str]:
        """The flags for a certificate."""
        return [
            f"--tls_cert_file={self.certs}/{name}.pem",
            f"--tls_key_file={self.certs}/{name}-key.pem",
            f"--tls_ca_file={self.certs}/ca.pem",
        ]

    def prepare(self) -> None:
        """Certificates, credentials and directories are there."""
        self.root.chmod(0o755)  # tasks of a normal user go through it to their sandboxes
        authority.make_authority(self.certs, "clients")
        for role, name in (
            (Role.MASTER, "master"),
            (Role.AGENT, "agent-1"),
            (Role.AGENT, "agent-2"),
            (Role.FRAMEWORK, "framework"),
            (Role.OPERATOR, "operator"),
        ):
            authority.issue(self.certs, role, name, HOSTS)
        hashed = hash_secret(SECRET.encode(), os.urandom(16))
        create_private(self.root / "credentials", f"basic {hashed}\n".encode())
        self.dpark_directory.mkdir()
        self.dpark_directory.chmod(0o1777)
        self.dpark_conf.write_text(f"DPARK_WORK_DIR = {str(self.dpark_directory)!r}\n")
        (self.root / "logs").mkdir()

    def start(self) -> None:
        """Everything serves, and both agents are registered."""
        ports = free_ports(9)
        if self.ensemble is None:
            self.master = f"localhost:{ports[0]}"
            self.start_master("master", ports[0])
        else:
            self.master = f"zk://{self.ensemble.hosts}/mesos"
            for number, port in enumerate((ports[0], *ports[7:]), 1):
                self.masters[f"master-{number}"] = port
                zk = (f"--zk={self.master}", "--zk_session_timeout=6secs")
                self.start_master(f"master-{number}", port, *zk)
        environment = {"PATH": os.environ["PATH"], "DPARK_CONF": str(self.dpark_conf)}
        agents = tuple(zip(("agent-1", "agent-2"), HOSTS, ports[1:3], strict=True))
        self.agents = tuple(f"{host}:{port}" for _, host, port in agents)
        for name, host, port in agents:
            self.spawn(
                name,
                "agent",
                f"--master={self.master}",
                f"--port={port}",
                "--ip=127.0.0.1",
                f"--hostname={host}",
                f"--work_dir={self.root}/{name}",
                f"--runtime_dir={self.root}/{name}/run",
                "--resources=cpus:4;mem:2048;disk:1024;ports:[31000-31100]",
                f"--attributes=machine:{name}",
                f"--executor_environment_variables={json.dumps(environment)}",
                *self.tls(name),
                before=private_mount(self.dpark_directory),
            )
        allowed = f"--allow_uid={NORMAL_USER}"
        announce = () if self.ensemble is None else (f"--announce={self.local}",)
        self.connect("framework", ports[3], f"--master={self.master}", allowed, *announce)
        self.connect("secret", ports[6], f"--master={self.master}", certificate=None)
        self.connect("operator", ports[4], f"--master={self.master}")
        self.connect("agent", ports[5], f"--agent={self.agents[0]}", certificate="operator")
        wait_until(self.up, "the cluster is up", START_S)

    def start_master(self, name: str, port: int, *flags: str) -> None:
        """Start one master; all have the same certificate."""
        self.spawn(
            name,
            "master",
            f"--port={port}",
            "--ip=127.0.0.1",
            "--hostname=localhost",
            f"--work_dir={self.root}/{name}",
            f"--credentials={self.root}/credentials",
            "--cluster=clients",
            *self.tls("master"),
            *flags,
        )

    def kill_leader(self) -> str:
        """Kill -9 of the master that leads; its name."""
        port = self.state()["leader_info"]["port"]
        name = next(name for name, its in self.masters.items() if its == port)
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        return name

    def connect(self, name: str, port: int, *arguments: str, certificate: str | None = "") -> None:
        """Start a connector with a plaintext port, and a Unix socket beside the logs.

        Its certificate is the one of its own name unless told; None: it has none.
        """
        self.port[name] = port
        listen = f"--listen=127.0.0.1:{port},unix:{self.root}/{name}.sock"
        tls = [f"--tls_ca_file={self.certs}/ca.pem"]
        if certificate is not None:
            tls = self.tls(certificate or name)
        self.spawn(f"connect-{name}", "connect", listen, *arguments, *tls)

    def spawn(self, name: str, *arguments: str, before: list[str] | None = None) -> None:
        """Start a process of the package; its output goes to its log."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
        command = [*(before or ()), sys.executable, "-m", "mesos_twisted", *arguments]
        self.run(name, command, environment)

    def restart(self, name: str) -> None:
        """End a process and start it again as it was."""
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
        self.run(name, process.args, environment)

    def run(self, name: str, command: Any, environment: dict[str, str]) -> None:
        """Start a command; its output goes to the log of that name."""
        with open(self.root / "logs" / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def up(self) -> bool:
        """Do all daemons live, and are both agents registered?"""
        dead = [name for name, process in self.processes.items() if process.poll() is not None]
        assert not dead, f"{dead} ended"
        try:
            agents = json.loads(self.curl(self.url("operator", "/slaves")))["slaves"]
            # The connector to an agent answers only when the agent serves.
            self.curl(self.url("agent", "/health"))
        except (subprocess.SubprocessError, ValueError, KeyError):
            return False
        return sum(bool(agent["active"]) for agent in agents) == len(HOSTS)

    def url(self, connector: str, path: str) -> str:
        """A path behind a connector."""
        return f"http://127.0.0.1:{self.port[connector]}{path}"

    def curl(self, *arguments: str) -> str:
        """What curl prints; raises when it fails or the answer is an error."""
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def state(self) -> Any:
        """The master's /state."""
        return json.loads(self.curl(self.url("operator", "/state")))

    def stop(self) -> None:
        """Every process has ended, tasks included; what was written is gone."""
        for name, process in self.processes.items():
            if process.poll() is None:
                # SIGUSR1 ends an agent's tasks too.
                process.send_signal(signal.SIGUSR1 if name.startswith("agent") else signal.SIGTERM)
        try:
            for process in self.processes.values():
                process.wait(STOP_S)
        finally:
            for process in self.processes.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if self.ensemble is not None:
                self.ensemble.stop()
        wait_until(lambda: not self.left(), f"no process of {self.root} is left", STOP_S)
        shutil.rmtree(self.root)

    def left(self) -> list[str]:
        """Command lines of living processes that name this cluster's directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if str(self.root).encode() in line:
                    found.append(line.replace(b"\0", b" ").decode(errors="replace"))
        return found

    def logs(self, lines: int = 25) -> str:
        """The last lines of every log, and of every sandbox's output."""
        out = []
        outputs = self.root.glob("agent-*/slaves/*/frameworks/*/executors/*/runs/*/std*")
        newest = sorted(
            (path for path in outputs if not path.parent.is_symlink() and path.stat().st_size),
            key=lambda path: path.stat().st_mtime,
        )
        for path in (*sorted((self.root / "logs").glob("*.log")), *newest[-6:]):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            out.append("\n".join([f"--- {path.relative_to(self.root)}", *tail]))
        return "\n".join(out)


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClientCluster]:
    """A master, two agents and three connectors, up for the whole session."""
    # Not pytest's own directory, which a normal user's tasks could not enter.
    running = ClientCluster(Path(tempfile.mkdtemp(prefix="mesos-clients-")))
    running.prepare()
    try:
        running.start()
    except BaseException:
        print(running.logs(), file=sys.stderr)
        running.stop()
        raise
    yield running
    running.stop()


@contextmanager
def three_masters() -> Iterator[ClientCluster]:
    """Such a cluster with three masters, that everybody follows by a ZooKeeper server."""
    tool = REPOSITORY / "tools" / "zookeeper.sh"
    made = subprocess.run([tool], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr
    running = ClientCluster(Path(tempfile.mkdtemp(prefix="mesos-clients-")))
    running.prepare()
    running.ensemble = RealEnsemble.start(running.root)
    try:
        running.start()
    except BaseException:
        print(running.logs(), file=sys.stderr)
        running.stop()
        raise
    yield running
    running.stop()


@pytest.fixture(scope="session")
def client_python() -> Callable[[str], Path]:
    """The Python of a client's environment, installed if it is not there yet."""
    made: dict[str, Path] = {}

    def python(name: str) -> Path:
        if name not in made:
            tool = REPOSITORY / "tools" / "clients.sh"
            done = subprocess.run([tool, name], capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr
            where = subprocess.check_output([tool, "--where"], text=True).strip()
            made[name] = Path(where) / name / "bin" / "python"
        return made[name]

    return python


@pytest.fixture
def run_program(client_python: Callable[[str], Path]) -> Callable[..., Any]:
    """Run a program of tests/clients/programs with a client's Python; its last line is JSON."""

    def run(
        client: str,
        program: str,
        *arguments: str,
        timeout_s: float = 90.0,
        user: str | None = None,
        env: dict[str, str] | None = None,
    ) -> Any:
        command = [str(client_python(client)), str(PROGRAMS / program), *arguments]
        if user is not None and os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            ids = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
            command = ["setpriv", *ids, *command]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                env={**environment, **(env or {})},
                cwd="/",
            )
        except subprocess.TimeoutExpired as late:
            raise AssertionError(
                f"{program} did not end within {timeout_s:g} s\n"
                f"{(late.stdout or b'').decode()}\n{(late.stderr or b'').decode()}"
            ) from None
        assert done.returncode == 0, f"{program} failed:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing test shows the last lines of daemons and tasks."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy gives the result here
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, ClientCluster):
                report.sections.append(("daemons and tasks", value.logs()))


@pytest.fixture
def survive(client_python: Callable[[str], Path]) -> Callable[[ClientCluster, Any], None]:
    """Let pymesos run a task, do the given harm, and see that scheduler and task outlive it.

    Unless told, its master is the connector's address.
    """

    def run(cluster: ClientCluster, harm: Callable[[], Any], master: str | None = None) -> None:
        address = master or f"127.0.0.1:{cluster.port['framework']}"
        with subprocess.Popen(
            [client_python("pymesos"), PROGRAMS / "pymesos_survivor.py", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as program:
            assert program.stdout is not None
            lines = []
            for line in program.stdout:
                lines.append(line)
                if line == "running\n":
                    harm()
            assert program.wait(10) == 0, "".join(lines)
        assert lines[-1] == "survived\n", "".join(lines)

    return run
