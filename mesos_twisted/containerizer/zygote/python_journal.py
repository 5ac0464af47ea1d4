"""The Python launcher's journal: what the agent may still ask of a launcher started after this one
died, and the nonce by which that one knows the processes of this one."""

from __future__ import annotations

import os
import re


def boot_id() -> bytes:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as source:
            return source.read().strip()
    except OSError:
        return b"-"


class Journal:
    """Lines of words; what could not be written is written anew once there is room."""

    def __init__(self, path: str) -> None:
        self.path, self.fd, self.lines, self.errors = path, -1, 0, 0
        self.torn, self.nonce = False, b""
        self._pending: list[bytes] = []
        self._draft = -1

    def note(self, *words: bytes | int) -> None:
        self._pending.append(b" ".join(w if isinstance(w, bytes) else b"%d" % w for w in words))
        self.lines += 1

    def _write(self, fd: int) -> bool:
        data = b"".join(line + b"\n" for line in self._pending)
        self._pending.clear()
        try:
            whole = os.write(fd, data) == len(data)
        except OSError:
            whole = False
        self.errors += not whole
        return whole

    def flush(self) -> None:
        if self._pending and not self._write(self.fd):
            self.torn = True

    def begin(self) -> bool:
        """A new journal may be noted; False when its file cannot be made."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        try:
            self._draft = os.open(self.path + ".new", flags, 0o600)
        except OSError:
            self.errors += 1
            return False
        self._pending.clear()  # the tasks themselves say all of it
        self.lines = 0
        self.note(b"B", boot_id())
        self.note(b"N", self.nonce)
        return True

    def commit(self) -> None:
        """What was noted since `begin` is the journal, unless there is no room for it."""
        try:
            if not self._write(self._draft):
                raise OSError
            os.rename(self.path + ".new", self.path)
        except OSError:
            self.torn = True  # the old one tells more
            os.close(self._draft)
            return
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.torn = self._draft, False

    def load(self) -> tuple[bool, list[list[bytes]]]:
        """(the host was not started since, the lines as words); the nonce is known afterwards."""
        try:
            with open(self.path, "rb") as source:
                lines = [line.split() for line in source.read().split(b"\n")[:-1]]
        except OSError:
            lines = []
        was = b""
        for words in lines:
            if len(words) == 2 and words[0] == b"B":
                was = words[1]
            elif len(words) == 2 and words[0] == b"N" and re.fullmatch(rb"[0-9a-f]{32}", words[1]):
                self.nonce = words[1]
        self.nonce = self.nonce or os.urandom(16).hex().encode()
        return was == boot_id(), lines
