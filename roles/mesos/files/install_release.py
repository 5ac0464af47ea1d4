"""Install a release from the bundle below it: verify, make a venv, fill it, set the marker.

    install_release.py DIRECTORY VERSION MANIFEST_SHA256

DIRECTORY/bundle holds the bundle; MANIFEST_SHA256 is what the control host read, so that the
manifest itself is checked as well. Nothing but this interpreter is needed: no network, no
ensurepip. The marker DIRECTORY/.installed is written last; without it the next run starts over.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def main(directory: Path, version: str, manifest_sha256: str) -> None:
    os.umask(0o022)
    bundle = directory / "bundle"
    verify(bundle, manifest_sha256)
    for part in ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg"):
        remove(directory / part)
    run(sys.executable, "-m", "venv", "--without-pip", str(directory))
    pips = sorted((bundle / "wheels").glob("pip-*.whl"))
    if not pips:
        sys.exit(f"{bundle}/wheels holds no wheel of pip; make the bundle anew with ./bundle.")
    requirements = bundle / f"requirements-{version}.txt"
    if not requirements.is_file():
        sys.exit(
            f"The bundle has no {requirements.name}: mesos_version is not the bundle's version."
        )
    run(
        *(str(directory / "bin" / "python"), str(pips[-1] / "pip")),
        *("install", "--quiet", "--no-index", "--no-deps", "--require-hashes"),
        *("--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore"),
        *("--find-links", str(bundle / "wheels"), "--requirement", str(requirements)),
    )
    run(str(directory / "bin" / "mesos-twisted"), "--version")
    shutil.copy(bundle / "MANIFEST.sha256", directory / "MANIFEST.sha256")
    shutil.rmtree(bundle)
    marker = directory / ".installed.new"
    marker.write_text(f"{manifest_sha256}\n")
    marker.replace(directory / ".installed")


def verify(bundle: Path, manifest_sha256: str) -> None:
    """Every file is named in the manifest with its hash, and every named one is there."""
    manifest = bundle / "MANIFEST.sha256"
    if digest(manifest) != manifest_sha256:
        sys.exit(f"{manifest} is not the control host's; the copy is damaged. Run it again.")
    expected = {}
    for line in manifest.read_text().splitlines():
        want, _, name = line.partition(" ")
        name = name.lstrip(" *").removeprefix("./")
        if not name.startswith("debs/"):
            expected[name] = want
    found = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    for name in sorted(found - set(expected) - {manifest.name}):
        sys.exit(f"{bundle / name} is not in the manifest; make the bundle anew with ./bundle.")
    for name, want in sorted(expected.items()):
        if name not in found:
            sys.exit(f"{bundle / name} is in the manifest but missing; make the bundle anew.")
        if digest(bundle / name) != want:
            sys.exit(f"{bundle / name} is not what the manifest says; make the bundle anew.")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


def run(*command: str) -> None:
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        sys.exit(
            f"`{' '.join(command)}` failed with Python {sys.version.split()[0]} on "
            f"{sysconfig.get_platform()}; does the bundle hold wheels for it? "
            f"It said:\n{said[-3000:]}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
