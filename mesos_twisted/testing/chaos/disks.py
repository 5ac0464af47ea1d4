"""Small file systems for agents' work directories, which a test fills, freezes and thaws."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from mesos_twisted.testing.chaos.enclosure import run

SIZE_MB: Final = 48
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878


class Disk:
    """One, mounted at `directory`. It is a loop mount where that works, else a tmpfs."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        image = directory.with_suffix(".image")
        with open(image, "wb") as made:
            made.truncate(SIZE_MB << 20)
        #: Can writes be held? A tmpfs cannot be frozen.
        self.freezes = True
        try:
            run("mkfs.ext4", "-q", "-F", str(image))
            run("mount", "-o", "loop", str(image), str(directory))
        except (AssertionError, FileNotFoundError):
            self.freezes = False
            run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "chaos", str(directory))
        self.frozen = False
        #: Since when it is frozen, and how long it was.
        self._since = 0.0
        self.frozen_s = 0.0

    def fill(self) -> None:
        """Not a byte is free."""
        with open(self.directory / "filler", "ab", buffering=0) as filler:
            for size in (1 << 20, 4096, 1):
                block = b"\0" * size
                try:
                    while True:
                        filler.write(block)
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error

    def is_full(self) -> bool:
        """Is there no room for one byte more?"""
        try:
            with open(self.directory / "filler", "ab", buffering=0) as filler:
                filler.write(b"\0")
        except OSError as error:
            return error.errno == errno.ENOSPC
        return False

    def empty(self) -> None:
        """There is room again."""
        self.thaw()
        (self.directory / "filler").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Writes and flushes wait."""
        if self.freezes and not self.frozen:
            self.frozen, self._since = True, time.monotonic()
            self._control(_FIFREEZE)

    def thaw(self) -> None:
        """They go on."""
        if self.frozen:
            self.frozen = False
            self.frozen_s += time.monotonic() - self._since
            self._control(_FITHAW)

    def _control(self, what: int) -> None:
        opened = os.open(self.directory, os.O_RDONLY)
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.ioctl(opened, what, 0)
        finally:
            os.close(opened)
