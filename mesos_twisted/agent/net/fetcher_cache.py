"""What the fetcher cache holds: which file is whose, what may be dropped. Bookkeeping only.

An entry belongs to one user and one URI. While a download or a task uses it, it is pinned. When
the cache is over its size the longest unused entries go. Nothing survives a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

Key = tuple[str, str]


@dataclass(slots=True)
class Entry:
    """One cached file. `size` is 0 until it is complete."""

    key: Key
    path: str
    size: int = 0
    pins: int = 0
    complete: bool = False
    #: Out of the table: delete the file when the last pin goes.
    dropped: bool = False
    #: Others who want the same file wait here for the outcome (None, or what went wrong).
    waiting: list[Deferred[str | None]] = field(default_factory=list)


class FetchCache:
    """Entries in order of use, oldest first. Its methods give the entries whose files must go."""

    def __init__(self, directory: str, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        """The entry, pinned and made the most recent; None when there is none."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            entry.pins += 1
        return entry

    def begin(self, key: Key) -> Entry:
        """A new entry to be downloaded, pinned. Its path is in the user's own directory."""
        self._count += 1
        entry = Entry(key, f"{self.directory}/{key[0]}/c{self._count}", pins=1)
        self._entries[key] = entry
        return entry

    def completed(self, entry: Entry, size: int) -> list[Entry]:
        """The download is there; gives what must make room for it."""
        entry.size, entry.complete = size, True
        self.used_bytes += size
        return self._shrink()

    def failed(self, entry: Entry) -> None:
        """The download did not succeed: the next one who wants it tries again."""
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
        entry.dropped = True

    def unpin(self, entry: Entry) -> list[Entry]:
        """One user less; gives entries whose files can go now."""
        entry.pins -= 1
        gone = [entry] if entry.dropped and not entry.pins else []
        return gone + self._shrink()

    def _shrink(self) -> list[Entry]:
        gone: list[Entry] = []
        for key, entry in list(self._entries.items()):
            if self.used_bytes <= self.max_bytes:
                break
            if entry.pins or not entry.complete:
                continue
            del self._entries[key]
            self.used_bytes -= entry.size
            entry.dropped = True
            gone.append(entry)
        return gone
