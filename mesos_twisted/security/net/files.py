"""Secret files on disk: private from the first byte, replaced whole, and read with a look at modes.

This module refuses to know what the files mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.security.core.credentials import Credentials, parse_credentials
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.security.core.tokens import TokenKey

#: No file of ours is near this; a larger one is a mistake.
_MAX_BYTES = 4 * 1024 * 1024


def write_private(path: Path, content: bytes) -> None:
    """Afterwards `path` holds the content, mode 0600, and nobody ever saw it half or wider."""
    _replace(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Afterwards `path` holds the content, mode 0644, whole at every moment."""
    _replace(path, content, 0o644)


def create_private(path: Path, content: bytes) -> None:
    """Like `write_private`, but raises FileExistsError rather than replace a file."""
    partial = _write_beside(path, content, 0o600)
    try:
        os.link(partial, path)
    finally:
        os.unlink(partial)
    _sync_directory(path.parent)


def _replace(path: Path, content: bytes, mode: int) -> None:
    partial = _write_beside(path, content, mode)
    try:
        os.replace(partial, path)
    except OSError:
        os.unlink(partial)
        raise
    _sync_directory(path.parent)


def _write_beside(path: Path, content: bytes, mode: int) -> str:
    partial = f"{path}.{secrets.token_hex(8)}.partial"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(partial, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            # The umask can only have taken bits away; a private file needs none back.
            if mode != 0o600:
                os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        os.unlink(partial)
        raise
    return partial


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else who asks for the lock changes this directory meanwhile."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise UnavailableError(f"The directory {directory} cannot be opened: {reason}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_bytes(path: Path | str, what: str) -> bytes:
    """The file's content. Raises UnavailableError with one sentence naming `what` and the path."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise UnavailableError(f"The {what} {path} cannot be read: {reason}.") from None
    if len(content) > _MAX_BYTES:
        raise MalformedError(f"The {what} {path} is larger than {_MAX_BYTES} bytes.")
    return content


def exposure(path: Path | str, what: str) -> str | None:
    """One sentence when others than the owner and group may touch the file, else None."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None
    if mode & 0o007 == 0:
        return None
    return f"The {what} {path} is open to every user (mode {mode:04o}); run `chmod 0600 {path}`."


def read_credentials(path: Path | str) -> Credentials:
    """A credential file's entries, with a warning added when the file is open to others."""
    content = read_bytes(path, "credential file")
    credentials = parse_credentials(content, str(path))
    warning = exposure(path, "credential file")
    if warning is None:
        return credentials
    return Credentials(credentials.entries, (warning, *credentials.warnings))


def read_token_key(path: Path | str) -> TokenKey:
    """The token key in this file. The bytes are taken as they are, as Mesos does."""
    return TokenKey(Secret(read_bytes(path, "token key file")))
