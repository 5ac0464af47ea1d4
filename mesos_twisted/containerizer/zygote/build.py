"""Finds the C launcher in the package, or compiles it once into a cache directory, or says that the
Python launcher must serve.

The binary's name carries a digest of its sources, so a newer package never runs an older launcher.
A compiled one is written beside its final name and renamed, readable and executable by its owner
only; one that came with the package is taken when nobody but root or this user may write it, as
its modules are. It knows nothing of sockets or tasks. It runs a compiler and waits for it: at
package build, or once before the reactor starts.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).with_name("c")
#: Where a package built for one kind of machine has the binary.
PACKAGED = Path(__file__).with_name("bin")
_ROOT = str(Path(__file__).resolve().parents[3])
#: Isolated and without site packages: only the launcher's own modules and the standard library.
_PYTHON = (
    f"import sys; sys.path.append({_ROOT!r}); "
    "from mesos_twisted.containerizer.zygote.zygote import main; sys.exit(main(sys.argv))"
)
_COMPILERS = ("cc", "gcc", "clang")
_COMPILE_LIMIT_S = 60


def build(cache_dir: Path) -> Path | None:
    """The launcher's binary is returned, from the package or from `cache_dir`, where it is compiled
    when it is not there yet; None where it cannot be.

    A static binary is tried first (no library can be swapped under it), then a dynamic one.
    """
    packaged = PACKAGED / packaged_name()
    if _is_guarded(packaged):
        return packaged
    binary = cache_dir / f"zygote-{_digest()}"
    if _is_ours(binary):
        return binary
    if _compiler() is None:
        return None
    cache_dir.mkdir(parents=True, exist_ok=True)
    draft = cache_dir / f".{binary.name}.{os.getpid()}"
    if compile_into(draft, static=True) or compile_into(draft, static=False):
        draft.chmod(0o700)
        draft.rename(binary)
        return binary
    draft.unlink(missing_ok=True)
    return None


def compile_into(target: Path, *, static: bool) -> bool:
    """True when `target` is a launcher for this machine now; False where it cannot be compiled."""
    compiler = _compiler()
    if compiler is None:
        return False
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    options = ["-static"] if static else []
    try:
        done = subprocess.run(
            [compiler, "-O2", *options, "-o", str(target), *sources],
            capture_output=True,
            timeout=_COMPILE_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def packaged_name() -> str:
    """What the binary of these sources for this kind of machine is called in a package."""
    return f"zygote-{_digest()}-{platform.machine()}"


def _compiler() -> str | None:
    return next((path for name in _COMPILERS if (path := shutil.which(name))), None)


def _digest() -> str:
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _is_ours(binary: Path) -> bool:
    """True for a file of ours that nobody else may write; a planted one is built anew."""
    try:
        status = binary.lstat()
    except OSError:
        return False
    return (status.st_mode & 0o170777) == 0o100700 and status.st_uid in (0, os.geteuid())


def _is_guarded(binary: Path) -> bool:
    """True for a program that only root or this user may write."""
    try:
        status = binary.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_mode & 0o022 == 0
        and status.st_uid in (0, os.geteuid())
        and os.access(binary, os.X_OK)
    )


def command(cache_dir: Path, implementation: str = "auto") -> tuple[str, ...]:
    """The command that starts a launcher, without its arguments.

    `implementation` is `c`, `python` or `auto` (C where it can be built). Raises `LookupError`
    when `c` is asked for and cannot be had.
    """
    if implementation != "python":
        binary = build(cache_dir)
        if binary is not None:
            return (str(binary),)
        if implementation == "c":
            raise LookupError(
                f"The C launcher cannot be built in {cache_dir}: install a C compiler, "
                "or choose the Python launcher."
            )
    return (sys.executable, "-I", "-S", "-c", _PYTHON)
