"""The scripts that roles run on hosts: what they refuse, what they leave alone, what they keep."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import os
import socket
import subprocess
import time
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROLES = Path(__file__).parents[2] / "roles"


def script(role: str, name: str) -> ModuleType:
    path = ROLES / role / "files" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{role}_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestPreflight:
    preflight = script("mesos", "preflight")

    def test_a_command_that_is_not_there_is_named(self) -> None:
        (said,) = self.preflight.python("python9.99", [])
        assert "no python9.99" in said and "mesos_python" in said

    def test_an_old_python_is_refused(self, tmp_path: Path) -> None:
        old = tmp_path / "python3"
        old.write_text("#!/bin/sh\necho 3.9\n")
        old.chmod(0o755)
        (said,) = self.preflight.python(str(old), [])
        assert "is Python 3.9" in said

    def test_a_python_without_wheels_is_refused(self, tmp_path: Path) -> None:
        new = tmp_path / "python3"
        new.write_text("#!/bin/sh\necho 3.12\n")
        new.chmod(0o755)
        (said,) = self.preflight.python(str(new), ["cp311"])
        assert "--python 3.12" in said
        assert self.preflight.python(str(new), ["cp311", "cp312"]) == []

    def test_an_address_of_another_host_is_refused(self) -> None:
        assert self.preflight.address("127.0.0.1") == []
        (said,) = self.preflight.address("192.0.2.77")
        assert "mesos_address" in said

    def test_a_name_on_loopback_is_refused(self) -> None:
        (said,) = self.preflight.names(["localhost"], "")
        assert "no other host can reach it" in said

    def test_a_port_of_somebody_else_is_refused_with_his_name(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            (said,) = self.preflight.port_is_free(port, "mesos-twisted-master.service")
            assert f"Port {port} is held by process {os.getpid()}" in said
        assert self.preflight.port_is_free(port, "") == []

    def test_a_full_disk_is_refused(self) -> None:
        assert self.preflight.space("/var/lib/none/such", 0) == []
        (said,) = self.preflight.space("/var/lib", 2**40)
        assert "make room" in said


class TestInstallRelease:
    install = script("mesos", "install_release")

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        (tmp_path / "wheels").mkdir()
        (tmp_path / "wheels" / "one.whl").write_bytes(b"one")
        (tmp_path / "VERSION").write_text("1.0\n")
        lines = [
            f"{hashlib.sha256(b'one').hexdigest()}  wheels/one.whl\n",
            f"{hashlib.sha256(b'1.0' + bytes([10])).hexdigest()}  ./VERSION\n",
            f"{'0' * 64}  debs/left-out.deb\n",
        ]
        (tmp_path / "MANIFEST.sha256").write_text("".join(lines))
        return tmp_path

    def verify(self, bundle: Path) -> None:
        digest = hashlib.sha256((bundle / "MANIFEST.sha256").read_bytes()).hexdigest()
        self.install.verify(bundle, digest)

    def test_a_whole_bundle_passes_without_its_debs(self, bundle: Path) -> None:
        self.verify(bundle)

    def test_another_manifest_is_refused(self, bundle: Path) -> None:
        with pytest.raises(SystemExit, match="not the control host's"):
            self.install.verify(bundle, "0" * 64)

    def test_a_changed_file_is_refused(self, bundle: Path) -> None:
        (bundle / "wheels" / "one.whl").write_bytes(b"two")
        with pytest.raises(SystemExit, match="not what the manifest says"):
            self.verify(bundle)

    def test_a_missing_file_is_refused(self, bundle: Path) -> None:
        (bundle / "VERSION").unlink()
        with pytest.raises(SystemExit, match="missing"):
            self.verify(bundle)

    def test_a_file_too_many_is_refused(self, bundle: Path) -> None:
        (bundle / "wheels" / "evil.whl").write_bytes(b"evil")
        with pytest.raises(SystemExit, match="not in the manifest"):
            self.verify(bundle)


class TestPruneReleases:
    prune = script("mesos", "prune_releases")

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for age, name in enumerate(["4", "3", "2", "1"]):
            (tmp_path / "releases" / name).mkdir(parents=True)
            os.utime(tmp_path / "releases" / name, (1_000 - age, 1_000 - age))
        (tmp_path / "current").symlink_to("releases/4")
        return tmp_path

    def left(self, root: Path) -> set[str]:
        return {path.name for path in (root / "releases").iterdir()}

    def test_the_newest_stay(self, root: Path, tmp_path: Path) -> None:
        self.prune.main(root, 2, tmp_path / "units")
        assert self.left(root) == {"4", "3"}

    def test_one_that_a_unit_names_stays(self, root: Path, tmp_path: Path) -> None:
        units = tmp_path / "units"
        units.mkdir()
        (units / "mesos-twisted-agent.service").write_text(f"ExecStart={root}/releases/1/bin/x\n")
        self.prune.main(root, 2, units)
        assert self.left(root) == {"4", "1"}

    def test_the_current_one_stays(self, root: Path, tmp_path: Path) -> None:
        (root / "current").unlink()
        (root / "current").symlink_to("releases/2")
        self.prune.main(root, 1, tmp_path / "units")
        assert self.left(root) == {"2"}


class TestKeystore:
    keystore = script("zookeeper", "keystore")

    def test_it_is_written_once_and_private(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key, cert, out = tmp_path / "key", tmp_path / "cert", tmp_path / "out"
        key.write_bytes(b"KEY\n")
        cert.write_bytes(b"CERT\n")
        user = "root" if os.getuid() == 0 else os.environ["USER"]
        self.keystore.main(key, cert, out, user)
        assert capsys.readouterr().out == "changed\n"
        assert out.read_bytes() == b"KEY\nCERT\n" and out.stat().st_mode & 0o777 == 0o400
        self.keystore.main(key, cert, out, user)
        assert capsys.readouterr().out == ""
        cert.write_bytes(b"NEW\n")
        self.keystore.main(key, cert, out, user)
        assert capsys.readouterr().out == "changed\n" and out.read_bytes() == b"KEY\nNEW\n"


class TestCertsCheck:
    check = script("certificates", "certs_check")

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        now = datetime.datetime.now(datetime.UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone")])
        crl = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(name)
            .last_update(now)
            .next_update(now + datetime.timedelta(days=5, hours=1))
            .sign(key, hashes.SHA256())
        )
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1)
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=40, hours=1))
            .sign(key, hashes.SHA256())
        )
        (tmp_path / "crl.pem").write_bytes(crl.public_bytes(serialization.Encoding.PEM))
        (tmp_path / "a.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return [str(tmp_path / "crl.pem"), str(tmp_path / "a.pem")]

    @pytest.mark.parametrize(("days", "status"), [(5, 0), (6, 1), (41, 1)])
    def test_what_ends_soon_fails(
        self, files: list[str], days: int, status: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[dict[str, str]] = []
        monkeypatch.setattr(
            self.check, "say", lambda priority, message, **fields: said.append(fields)
        )
        assert self.check.main(days, files) == status
        assert [fields["MESOS_DAYS_LEFT"] for fields in said] == ["5", "40"]

    def test_what_cannot_be_read_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self.check, "say", lambda *args, **fields: None)
        assert self.check.main(1, [str(tmp_path / "none.pem")]) == 1


class TestGuardRoot:
    guard = script("zookeeper", "guard_root")

    def test_a_list_is_read_as_it_was_written(self) -> None:
        acl = [(31, "x509", "CN=master master-m1"), (1, "world", "anyone")]
        # A Stat follows it in the answer.
        assert self.guard.decode(self.guard.encode(acl) + bytes(68)) == acl

    def test_it_is_written_as_zookeeper_reads_it(self) -> None:
        assert self.guard.encode([(1, "world", "me")]) == (
            b"\0\0\0\1" + b"\0\0\0\1" + b"\0\0\0\5world" + b"\0\0\0\2me"
        )


class TestDue:
    due = script("zookeeper", "due")

    def start(self, monkeypatch: pytest.MonkeyPatch, pid: int, ago_s: float) -> None:
        since = int((time.monotonic() - ago_s) * 1e6)
        said = f"MainPID={pid}\nExecMainStartTimestampMonotonic={since}\n"
        done = subprocess.CompletedProcess([], 0, said)
        monkeypatch.setattr(self.due.subprocess, "run", lambda *args, **options: done)

    def test_a_unit_that_does_not_run_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.start(monkeypatch, 0, 0)
        assert self.due.main("a.service", []) == "stopped"

    def test_a_file_newer_than_the_process_is_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "zoo.cfg").touch()
        files = [str(tmp_path / "zoo.cfg"), str(tmp_path / "none")]
        self.start(monkeypatch, 1, 3600)
        assert self.due.main("a.service", files) == f"it is older than {files[0]}"
        self.start(monkeypatch, 1, -3600)
        assert self.due.main("a.service", files) == ""
