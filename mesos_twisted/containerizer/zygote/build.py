"""Compiles the C launcher once into a cache directory, or says that the Python launcher must serve.

The binary's name carries a digest of its sources, so a newer package never runs an older launcher.
It is written beside its final name and renamed, readable and executable by its owner only. It
knows nothing of sockets or tasks. It runs a compiler and waits for it: at package build, or once
before the reactor starts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).with_name("c")
_ROOT = str(Path(__file__).resolve().parents[3])
#: Isolated and without site packages: only the launcher's own modules and the standard library.
_PYTHON = (
    f"import sys; sys.path.append({_ROOT!r}); "
    "from mesos_twisted.containerizer.zygote.zygote import main; sys.exit(main(sys.argv))"
)
_COMPILERS = ("cc", "gcc", "clang")
_COMPILE_LIMIT_S = 60


def build(cache_dir: Path) -> Path | None:
    """The launcher's binary exists in `cache_dir` and is returned; None where it cannot be built.

    A static binary is tried first (no library can be swapped under it), then a dynamic one.
    """
    binary = cache_dir / f"zygote-{_digest()}"
    if _is_ours(binary):
        return binary
    compiler = next((path for name in _COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        return None
    cache_dir.mkdir(parents=True, exist_ok=True)
    draft = cache_dir / f".{binary.name}.{os.getpid()}"
    for options in (["-static"], []):
        try:
            done = subprocess.run(
                [
                    compiler,
                    "-O2",
                    *options,
                    "-o",
                    str(draft),
                    *map(str, sorted(SOURCES.glob("*.c"))),
                ],
                capture_output=True,
                timeout=_COMPILE_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0:
            draft.chmod(0o700)
            draft.rename(binary)
            return binary
    draft.unlink(missing_ok=True)
    return None


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
