"""Unpack an archive into one directory and nowhere else.

Runs in the fetching process, as the task's user. Names with `..` or a leading slash, links that
lead out, devices and FIFOs are refused; nothing is written through a symlink; set-id bits are
dropped; sizes and the number of members are capped, so that a small file cannot fill the disk.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

from mesos_twisted.errors import MalformedError, RefusedError
from mesos_twisted.files import walk

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (*TAR_SUFFIXES, ".gz", ".zip")
MAX_MEMBERS = 1_000_000
PIECE_BYTES = 256 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def is_archive(name: str) -> bool:
    """Would a file of this name be unpacked?"""
    return name.endswith(SUFFIXES)


class Target:
    """The directory written to, and how many bytes may still be written there."""

    def __init__(self, fd: int, max_bytes: int) -> None:
        self._fd = fd
        self._left = max_bytes
        self._max = max_bytes

    def directory(self, parts: Sequence[str], mode: int = 0o755) -> int:
        """A descriptor of the directory, made with its parents; the caller closes it."""
        fd = os.dup(self._fd)
        for part in parts:
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, mode, dir_fd=fd)
                try:
                    below = os.open(part, _DIRECTORY, dir_fd=fd)
                except NotADirectoryError:
                    raise RefusedError(
                        f"'{'/'.join(parts)}' leads through a link or file"
                    ) from None
            finally:
                os.close(fd)
            fd = below
        return fd

    def file(self, parts: Sequence[str], pieces: Iterator[bytes], mode: int) -> None:
        """The file holds the pieces; what had its name (a directory excepted) is replaced."""
        parent = self.directory(parts[:-1])
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=parent)
            fd = os.open(parts[-1], _NEW_FILE, 0o600, dir_fd=parent)
        finally:
            os.close(parent)
        with open(fd, "wb", buffering=0) as out:
            for piece in pieces:
                self._left -= len(piece)
                if self._left < 0:
                    raise RefusedError(f"its content is larger than {self._max} bytes")
                out.write(piece)
            os.fchmod(fd, mode & 0o777)

    def symlink(self, parts: Sequence[str], target: str) -> None:
        """A relative link that stays inside; anything else is refused."""
        depth = len(parts) - 1
        if target.startswith("/") or not target:
            raise RefusedError(f"the link '{'/'.join(parts)}' leads outside")
        for part in target.split("/"):
            depth += -1 if part == ".." else 0 if part in ("", ".") else 1
            if depth < 0:
                raise RefusedError(f"the link '{'/'.join(parts)}' leads outside")
        parent = self.directory(parts[:-1])
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=parent)
            os.symlink(target, parts[-1], dir_fd=parent)
        finally:
            os.close(parent)

    def hardlink(self, parts: Sequence[str], target: Sequence[str]) -> None:
        """Another name for a file unpacked before; the original must not be a symlink."""
        source, parent = self.directory(target[:-1]), -1
        try:
            if not stat.S_ISREG(os.stat(target[-1], dir_fd=source, follow_symlinks=False).st_mode):
                raise RefusedError(f"the link '{'/'.join(parts)}' is not to a file")
            parent = self.directory(parts[:-1])
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=parent)
            os.link(
                target[-1],
                parts[-1],
                src_dir_fd=source,
                dst_dir_fd=parent,
                follow_symlinks=False,
            )
        finally:
            os.close(source)
            if parent >= 0:
                os.close(parent)


def member_parts(name: str) -> tuple[str, ...]:
    """The components of a member's name. Raises RefusedError for one that could leave."""
    if name.startswith("/"):
        raise RefusedError(f"its member '{name}' has an absolute path")
    try:
        return walk.components(name)
    except walk.OutsideError:
        raise RefusedError(f"its member '{name}' leads outside") from None


def extract(source: IO[bytes], name: str, target: Target) -> None:
    """Everything in the archive is in the target. Raises MesosError with what was wrong."""
    try:
        if name.endswith(TAR_SUFFIXES):
            _tar(source, target)
        elif name.endswith(".zip"):
            _zip(source, target)
        else:
            plain = name.rpartition("/")[2][: -len(".gz")]
            target.file(
                member_parts(plain or "file"), _pieces(gzip.GzipFile(fileobj=source)), 0o644
            )
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        gzip.BadGzipFile,
        EOFError,
        UnicodeError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise MalformedError(f"it cannot be unpacked: {error}") from None


def _tar(source: IO[bytes], target: Target) -> None:
    with tarfile.open(fileobj=source, mode="r|*") as archive:
        for count, member in enumerate(archive):
            if count >= MAX_MEMBERS:
                raise RefusedError(f"it has more than {MAX_MEMBERS} members")
            parts = member_parts(member.name)
            if member.isdir():
                os.close(target.directory(parts, 0o700 | member.mode & 0o777))
            elif not parts:
                raise RefusedError("one of its members has no name")
            elif member.isreg():
                content = archive.extractfile(member)
                assert content is not None
                target.file(parts, _pieces(content), member.mode)
            elif member.issym():
                target.symlink(parts, member.linkname)
            elif member.islnk():
                original = member_parts(member.linkname)
                if not original:
                    raise RefusedError(f"the link '{member.name}' is not to a file")
                target.hardlink(parts, original)
            else:
                raise RefusedError(f"its member '{member.name}' is a device or FIFO")


def _zip(source: IO[bytes], target: Target) -> None:
    with zipfile.ZipFile(source) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise RefusedError(f"it has more than {MAX_MEMBERS} members")
        for member in members:
            parts = member_parts(member.filename)
            mode = member.external_attr >> 16
            if member.is_dir():
                os.close(target.directory(parts))
                continue
            if not parts:
                raise RefusedError("one of its members has no name")
            with archive.open(member) as content:
                if stat.S_ISLNK(mode):
                    target.symlink(parts, content.read(4096).decode())
                elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                    target.file(parts, _pieces(content), stat.S_IMODE(mode) or 0o644)
                else:
                    raise RefusedError(f"its member '{member.filename}' is a device or FIFO")


def _pieces(source: Any) -> Iterator[bytes]:
    while piece := source.read(PIECE_BYTES):
        yield piece


#: Imported for its side effect on tarfile: bzip2 must be loaded before the process changes user.
BZ2 = bz2.BZ2File
