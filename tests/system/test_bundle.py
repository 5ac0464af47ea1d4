"""A host with nothing but python3, and no network at all, is installed from the bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
#: No interface but a loopback that is down.
CUT_OFF = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--net"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "b"
    version = f"3.{sys.version_info.minor}"
    words = ["./bundle", "--out", str(out), "--python", version, "--no-audit"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "audit: NOT AUDITED: --no-audit was given" in done.stdout
    return out


def install(bundle: Path, prefix: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CUT_OFF, "sh", str(bundle / "install.sh"), str(prefix), str(PYTHON)],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "PIP_INDEX_URL": "https://nowhere.invalid/"},
    )


def run(prefix: Path, *words: str) -> str:
    words = (str(prefix / "bin" / words[0]), *words[1:])
    done = subprocess.run([*CUT_OFF, *words], capture_output=True, text=True, cwd="/", env={})
    assert done.returncode == 0, done.stderr
    return done.stdout


LAUNCHER = """
import pathlib, sys
from mesos_twisted.containerizer.zygote.build import command
print(*command(pathlib.Path(sys.argv[1])))
"""


def test_an_install_without_a_network(bundle: Path, tmp_path: Path) -> None:
    """It runs, has all it requires, brings its launcher, and is left alone the second time."""
    prefix = tmp_path / "releases" / "here"
    done = install(bundle, prefix)
    assert (done.returncode, done.stdout) == (0, "changed\n"), done.stderr
    version = (bundle / "VERSION").read_text().strip()
    assert run(prefix, "mesos-twisted", "--version") == f"mesos-twisted, version {version}\n"
    (pip,) = (bundle / "wheels").glob("pip-*.whl")
    assert run(prefix, "python", f"{pip}/pip", "check") == "No broken requirements found.\n"
    program = run(prefix, "python", "-I", "-c", LAUNCHER, str(tmp_path / "none")).strip()
    assert (shutil.which("cc") is None) or program.startswith(f"{prefix}/lib/")
    assert install(bundle, prefix).stdout == "unchanged\n"


def test_what_is_not_the_bundle_is_not_installed(bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    wheel = next((damaged / "wheels").glob("twisted-*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"!")
    done = install(damaged, tmp_path / "prefix")
    assert done.returncode == 1 and "the bundle is damaged" in done.stderr
    assert not (tmp_path / "prefix").exists()


def test_a_directory_of_others_is_left_as_it_is(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("dear")
    done = install(bundle, tmp_path)
    assert done.returncode == 1 and "was left as it is" in done.stderr
    assert (tmp_path / "mine").read_text() == "dear"


def test_the_papers_name_every_file(bundle: Path) -> None:
    manifest = (bundle / "MANIFEST.sha256").read_text().splitlines()
    files = {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()}
    assert {line.split("  ")[1] for line in manifest} == files - {"MANIFEST.sha256"}
    sbom = json.loads((bundle / "sbom.cdx.json").read_text())
    parts = [sbom["metadata"]["component"], *sbom["components"]]
    named = {ref["url"] for part in parts for ref in part["externalReferences"]}
    assert {f for f in files if f.startswith("wheels/")} <= named
    assert sbom["specVersion"] == "1.6" and len(sbom["dependencies"]) == len(parts)
    assert json.loads((bundle / "audit.json").read_text())["audited"] is False
