"""The parts of ./bundle that only decide: what is packed, what is asked for, what an audit says."""

from __future__ import annotations

import base64
import hashlib
import importlib
import stat
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from mesos_twisted.containerizer.zygote import build as launcher

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return tool("bundle_wheels", monkeypatch)


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module(name)


LOCK = """\
# a comment
attrs==26.1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via twisted
zope-interface==8.7 \\
    --hash=sha256:cc
    # via
    #   twisted
# The following packages are considered to be unsafe in a requirements file:
setuptools==84 \\
    --hash=sha256:dd
"""


def test_a_lock_file_is_read_with_all_hashes(wheels: ModuleType) -> None:
    found = wheels.parse_lock(LOCK)
    assert [(one.name, one.version) for one in found] == [
        ("attrs", "26.1.0"),
        ("zope-interface", "8.7"),
        ("setuptools", "84"),
    ]
    assert found[0].text == LOCK.split("# a comment\n")[1].split("    # via")[0]


def test_the_projects_own_lock_files_give_what_runs_and_pip(wheels: ModuleType) -> None:
    names = [one.name for one in wheels.wanted(TOOLS.parent)]
    assert {"twisted", "cryptography", "pip"} <= set(names) and "setuptools" not in names


def pure_wheel(folder: Path) -> Path:
    path = folder / "mesos_twisted-1.0-py3-none-any.whl"
    about = "mesos_twisted-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("mesos_twisted/__init__.py", "x = 1\n")
        out.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        out.writestr(f"{about}/RECORD", "stale,,\n")
    return path


def test_a_wheel_with_a_program_in_it_is_of_one_machine_and_always_the_same(
    wheels: ModuleType, tmp_path: Path
) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pure = pure_wheel(tmp_path / name)
        made.append(wheels.repack(pure, "py3-none-linux_x86_64", "mesos_twisted/bin/z", b"ELF"))
    assert made[0].read_bytes() == made[1].read_bytes()
    assert made[0].name == "mesos_twisted-1.0-py3-none-linux_x86_64.whl"
    with zipfile.ZipFile(made[0]) as found:
        about = "mesos_twisted-1.0.dist-info"
        assert b"Tag: py3-none-linux_x86_64\n" in found.read(f"{about}/WHEEL")
        assert b"Root-Is-Purelib: false\n" in found.read(f"{about}/WHEEL")
        mode = found.getinfo("mesos_twisted/bin/z").external_attr >> 16
        assert stat.S_IMODE(mode) == 0o755
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"ELF").digest()).rstrip(b"=").decode()
        record = found.read(f"{about}/RECORD").decode().splitlines()
        assert f"mesos_twisted/bin/z,sha256={digest},3" in record and f"{about}/RECORD,," in record
        assert len(record) == len(found.namelist())


@pytest.mark.parametrize("version", ["0.2.0", "1.0.1rc1", "0.1.0+before.2"])
def test_a_version_of_ones_own(wheels: ModuleType, tmp_path: Path, version: str) -> None:
    (tmp_path / "mesos_twisted").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    module = tmp_path / "mesos_twisted" / "__init__.py"
    module.write_text('__version__ = "0.1.0"\n')
    assert wheels.set_version(tmp_path, None) == "0.1.0"
    assert wheels.set_version(tmp_path, version) == version
    assert module.read_text() == f'__version__ = "{version}"\n'
    with pytest.raises(wheels.BundleError, match="is not a version"):
        wheels.set_version(tmp_path, "1; rm")


def test_nobody_asked_is_not_nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that did not take place never reads as a clean one."""
    audit = tool("bundle_audit", monkeypatch)
    good = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "1", "vulns": [{"id": "X-1"}, {"id": "X-2"}]}
    unknown = {"name": "c", "skip_reason": "not found"}
    clean = audit.judged([good], "pypi")
    assert audit.is_clean(clean) and clean["summary"].startswith("0 known vulnerabilities in 1 ")
    found = audit.judged([good, bad], "pypi")
    assert not audit.is_clean(found) and found["vulnerabilities"] == 2 and "b" in found["summary"]
    partly = audit.judged([good, unknown], "pypi")
    assert not audit.is_clean(partly) and "NOT audited: c" in partly["summary"]
    for none in (audit.judged([unknown], "pypi"), audit.not_audited("no route", "osv")):
        assert none["audited"] is False and none["vulnerabilities"] is None
        assert none["summary"].startswith("NOT AUDITED") and not audit.is_clean(none)


APT = """\
Package: bash
Priority: required
Essential: yes
Filename: pool/bash.deb
SHA256: {digest}

Package: vim
Priority: optional
Filename: pool/vim.deb
SHA256: 00
"""


def test_what_a_debian_host_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    debs = tool("bundle_debs", monkeypatch)
    plan = "Inst a:amd64 (1:2-3 Debian:12 [amd64])\nConf a (1:2-3 Debian:12 [amd64])\n"
    plan += "Inst b [1] (2 Debian:12 [all]) []\nRemv c\n"
    assert debs.parse_plan(plan) == [("a", "1:2-3", "amd64"), ("b", "2", "all")]
    assert debs.required(APT) == ["bash"]
    first = APT.split("\n\n")[0]
    assert "Package: bash\nStatus: install ok installed\n" in debs.installed([first])
    path = tmp_path / "bash_5-1_amd64.deb"
    path.write_bytes(b"deb")
    stanza = first.format(digest=hashlib.sha256(b"deb").hexdigest())
    assert "Filename: ./bash_5-1_amd64.deb" in debs.local(stanza, path)
    path.write_bytes(b"another")
    with pytest.raises(Exception, match="not what Debian's index promises"):
        debs.local(stanza, path)


@pytest.mark.parametrize(("mode", "taken"), [(0o755, True), (0o775, False), (0o644, False)])
def test_a_packaged_launcher_is_taken_when_nobody_else_may_write_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int, taken: bool
) -> None:
    """Else one is compiled, or the Python one runs: a package without it works as well."""
    package, cache = tmp_path / "bin", tmp_path / "cache"
    package.mkdir()
    monkeypatch.setattr(launcher, "PACKAGED", package)
    monkeypatch.setattr(launcher, "_COMPILERS", ())
    assert launcher.build(cache) is None
    binary = package / launcher.packaged_name()
    binary.write_bytes(b"ELF")
    binary.chmod(mode)
    assert launcher.build(cache) == (binary if taken else None)
    if taken:
        link = tmp_path / "elsewhere"
        binary.rename(link)
        binary.symlink_to(link)
        assert launcher.build(cache) is None
