"""The wheels of a bundle: ours, with the compiled launcher inside, and those of others by hash."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

#: The first moment a zip file can tell.
EPOCH = 315532800
#: The oldest C library that all supported distributions have more than: that of EL9.
GLIBC = range(5, 35)
#: What is packed, beside the package itself.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "requirements")


class BundleError(Exception):
    """The bundle cannot be made; the text is one sentence for a person."""


@dataclass(frozen=True)
class Locked:
    """One requirement of a lock file, with the hashes of all its files."""

    name: str
    version: str
    text: str


def source(root: Path, target: Path, ref: str | None) -> Path:
    """Afterwards `target` holds what the wheel is built of: the tree of a git revision, or the
    working tree without what builds and runs leave in it."""
    target.mkdir()
    if ref is None:
        for name in SOURCES:
            path = root / name
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, target / name)
        shutil.copytree(
            root / "mesos_twisted",
            target / "mesos_twisted",
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
        )
        return target
    done = subprocess.run(
        ["git", "archive", "--format=tar", ref, "mesos_twisted", *SOURCES],
        cwd=root,
        capture_output=True,
    )
    if done.returncode:
        raise BundleError(f"git has no revision {ref} to build: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(target, filter="data")
    return target


def set_version(source: Path, version: str | None) -> str:
    """The version the source has from now on: `version`, or its own."""
    project, module = source / "pyproject.toml", source / "mesos_twisted" / "__init__.py"
    own = re.search(r'^version = "(.+)"$', project.read_text(), re.MULTILINE)
    if own is None:
        raise BundleError("pyproject.toml names no version.")
    if version is None or version == own[1]:
        return own[1]
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*((a|b|rc|\.dev|\.post)[0-9]+)?(\+[a-z0-9.]+)?", version):
        raise BundleError(f"--version {version} is not a version such as 0.2.0 or 0.2.0+site1.")
    project.write_text(project.read_text().replace(own[0], f'version = "{version}"', 1))
    text = re.sub(r'(?m)^__version__ = ".+"$', f'__version__ = "{version}"', module.read_text())
    module.write_text(text)
    return version


def build(source: Path, wheels: Path) -> Path:
    """Afterwards `wheels` holds a wheel of ours for any machine."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels),
         str(source), what="building the wheel of mesos-twisted")  # fmt: skip
    shutil.rmtree(source / "build", ignore_errors=True)
    (wheel,) = wheels.glob("mesos_twisted-*.whl")
    return wheel


def add_launcher(wheel: Path, source: Path, scratch: Path) -> str:
    """The wheel is replaced by one for this kind of machine, with the launcher in it, where a
    static one can be compiled; a sentence says which it is."""
    binary = scratch / "zygote"
    # With the source's own compiler settings and name, which may be of another revision.
    script = (
        "import sys; from pathlib import Path; "
        "from mesos_twisted.containerizer.zygote import build as b; "
        "print(b.packaged_name() if b.compile_into(Path(sys.argv[1]), static=True) else '')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(binary)],
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=scratch,
        capture_output=True,
        text=True,
    )
    name = done.stdout.strip()
    if done.returncode or not name:
        return (
            "not in the wheel (no C compiler with a static C library here, or a revision that does "
            "not look for one); hosts compile it, or run the Python one"
        )
    tag = f"py3-none-linux_{platform.machine()}"
    inside = f"mesos_twisted/containerizer/zygote/bin/{name}"
    made = repack(wheel, tag, inside, binary.read_bytes())
    wheel.unlink()
    return f"{name}, static, in {made.name}"


def repack(wheel: Path, tag: str, inside: str, program: bytes) -> Path:
    """A wheel beside this one with this tag and one more program; same input, same bytes."""
    target = wheel.with_name(re.sub(r"-py3-none-any\.whl$", f"-{tag}.whl", wheel.name))
    with zipfile.ZipFile(wheel) as old:
        files = {name: old.read(name) for name in old.namelist() if not name.endswith("/")}
    (about,) = (name for name in files if name.endswith(".dist-info/WHEEL"))
    record = about.replace("/WHEEL", "/RECORD")
    files[about] = re.sub(
        rb"(?m)^Root-Is-Purelib: true$", b"Root-Is-Purelib: false",
        re.sub(rb"(?m)^Tag: .*$", b"Tag: " + tag.encode(), files[about]),
    )  # fmt: skip
    files[inside] = program
    del files[record]
    lines = [f"{name},{_record_hash(files[name])},{len(files[name])}" for name in sorted(files)]
    files[record] = ("\n".join([*lines, f"{record},,"]) + "\n").encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in [*sorted(files.keys() - {record}), record]:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if name == inside else 0o100644) << 16
            new.writestr(entry, files[name])
    return target


def _record_hash(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return "sha256=" + digest.decode()


def parse_lock(text: str) -> list[Locked]:
    """The requirements of a lock file, each with its lines of hashes and nothing else."""
    found = []
    for match in re.finditer(r"(?m)^([A-Za-z0-9._-]+)==(\S+)((?: \\\n +--hash=\S+)+)$", text):
        found.append(Locked(canonicalize_name(match[1]), match[2], match[0] + "\n"))
    return found


def wanted(source: Path) -> list[Locked]:
    """What runs, without what only builds; and pip, with which hosts install it."""
    requirements = source / "requirements"
    only_builds = {
        canonicalize_name(line.strip())
        for line in (requirements / "build.in").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    }
    running = parse_lock((requirements / "runtime.txt").read_text())
    here = Path(__file__).resolve().parent.parent / "requirements" / "appliance.txt"
    pip = [one for one in parse_lock(here.read_text()) if one.name == "pip"]
    if not running or not pip:
        raise BundleError("requirements/runtime.txt or requirements/appliance.txt locks nothing.")
    return [one for one in running if one.name not in only_builds] + pip


def fetch(
    locked: list[Locked], pythons: list[str], wheels: Path, cache: Path, *, offline: bool
) -> None:
    """Afterwards `wheels` has the files of each requirement for each Python, checked by hash: from
    the cache where it has them, else from the index."""
    kept = cache / "wheels"
    kept.mkdir(parents=True, exist_ok=True)
    for python in pythons:
        if not re.fullmatch(r"3\.[0-9]+", python):
            raise BundleError(f"--python {python} is not a version such as 3.11.")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            got, names = Path(scratch) / "got", Path(scratch) / "requirements.txt"
            names.write_text("".join(one.text for one in locked))
            options = ["--python-version", python, "--only-binary=:all:", "--no-deps",
                       "--require-hashes", "--dest", str(got), "-r", str(names)]  # fmt: skip
            machine = platform.machine()
            for minor in GLIBC:
                options += ["--platform", f"manylinux_2_{minor}_{machine}"]
            options += ["--platform", f"manylinux2014_{machine}", "--implementation", "cp"]
            known = ["download", "--no-index", "--find-links", str(kept), *options]
            if not _pip_works(*known):
                if offline:
                    raise BundleError(
                        f"{kept} does not have all wheels for Python {python}; run once without "
                        "--offline."
                    )
                _pip("download", *options, what=f"fetching the wheels for Python {python}")
            for path in got.iterdir():
                shutil.copyfile(path, kept / path.name)
                shutil.copyfile(path, wheels / path.name)


def requirements(wheels: Path) -> str:
    """What hosts install, with the hash of each wheel that is here."""
    hashes: dict[tuple[str, str], list[str]] = {}
    for path in sorted(wheels.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(path.name)
        if name != "pip":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            hashes.setdefault((name, str(version)), []).append(digest)
    return "".join(
        f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{h}" for h in sorted(found)) + "\n"
        for (name, version), found in sorted(hashes.items())
    )


def _pip_command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]


def _pip_works(*words: str) -> bool:
    return subprocess.run(_pip_command(words), capture_output=True).returncode == 0


def _pip(*words: str, what: str) -> None:
    done = subprocess.run(_pip_command(words), capture_output=True, text=True)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise BundleError(f"{what} failed; pip said:\n{said}")
