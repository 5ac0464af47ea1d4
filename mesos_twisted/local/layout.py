"""What a local cluster keeps on disk: certificates, an operator's secret, work directories, logs.

Everything lies below one directory. Others may pass through it, because tasks may run as other
users, but not list it; certificates, secrets and logs are their owner's alone. A second start uses
what the first one made; certificates close to their end are made again.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import random
import secrets
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from mesos_twisted.errors import UnavailableError
from mesos_twisted.security.core.credentials import hash_secret
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.security.net.files import create_private

CLUSTER = "local"
#: Ports to choose from when the usual ones are taken.
CHOICE = range(12000, 30000)
#: A socket's path has at most 107 bytes (unix(7)), and the sockets' names need some of them.
LONGEST_RUNTIME = 83
RENEW_BEFORE = datetime.timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a local cluster."""

    root: Path
    agents: int

    @property
    def certs(self) -> Path:
        return self.root / "certs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def ca(self) -> Path:
        return self.certs / "ca.pem"

    @property
    def credentials(self) -> Path:
        return self.root / "credentials"

    @property
    def operator_secret(self) -> Path:
        return self.root / "operator.secret"

    def cert(self, name: str) -> Path:
        return self.certs / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.certs / f"{name}-key.pem"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def work(self, name: str) -> Path:
        return self.root / "work" / name

    def runtime(self, name: str) -> Path:
        """Where an agent's sockets are: below `root`, or elsewhere when that path is too long."""
        near = self.work(name) / "run"
        if len(os.fsencode(near)) <= LONGEST_RUNTIME:
            return near
        return self.far / name

    @property
    def far(self) -> Path:
        """A short directory for the sockets of a cluster whose own one is deep."""
        mark = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"mesos-twisted-{os.geteuid()}-{mark}")

    def agent_names(self) -> list[str]:
        return [f"agent-{number}" for number in range(1, self.agents + 1)]


def prepare(layout: Layout) -> None:
    """Afterwards everything a local cluster needs on disk is there."""
    try:
        layout.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        (layout.root / "work").mkdir(mode=0o711, exist_ok=True)
        layout.logs.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"Cannot use {layout.root} for the cluster: {error.strerror}; choose another --dir"
        ) from None
    if any(layout.far in layout.runtime(name).parents for name in layout.agent_names()):
        _make_own(layout.far)
    if not layout.ca.exists():
        authority.make_authority(layout.certs, CLUSTER)
    hosts = sorted({"localhost", "127.0.0.1", socket.gethostname()})
    wanted = [
        ("master", Role.MASTER),
        *((name, Role.AGENT) for name in layout.agent_names()),
        ("operator", Role.OPERATOR),
        ("framework", Role.FRAMEWORK),
    ]
    for name, role in wanted:
        if not layout.cert(name).exists():
            authority.issue(layout.certs, role, name, hosts)
        elif _ends_soon(layout.cert(name)):
            authority.renew(layout.certs, name)
    if not layout.operator_secret.exists():
        secret = secrets.token_urlsafe(18)
        hashed = hash_secret(secret.encode(), os.urandom(16))
        layout.credentials.unlink(missing_ok=True)
        create_private(layout.credentials, f"operator {hashed}\n".encode())
        create_private(layout.operator_secret, f"{secret}\n".encode())


def _make_own(path: Path) -> None:
    """A directory that is ours, in a place where anybody may have put one before."""
    path.mkdir(mode=0o711, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UnavailableError(f"{path} belongs to somebody else; choose a shorter --dir")


def _ends_soon(path: Path) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC) < RENEW_BEFORE


def free_port(preferred: int) -> int:
    """The preferred port of loopback if it is free (0: none), else a free one, taken by chance.

    Ports below the kernel's range for outgoing connections are not handed out between this look
    and the daemon's.
    """
    ports = random.SystemRandom().sample(CHOICE, 64)
    if preferred:
        ports.insert(0, preferred)
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise UnavailableError("No free TCP port on 127.0.0.1")
