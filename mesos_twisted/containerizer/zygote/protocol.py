"""The conversation with the launcher ("zygote"): frames, and the names of what is said.

One launcher serves one agent's runtime directory and outlives the agent. The agent connects to a
Unix socket and pipelines requests; each answer carries the request's number, and an EXITED event
carries 0 and goes to every connection. Several connections may be open; there is no order between
answers that wait for the world (LAUNCHED, DESTROYED) and the rest.

A frame is a 32-bit big-endian length and that many bytes: fields, each ended by a NUL. Numbers are
decimal text. A container id is 1 to 255 of `A-Za-z0-9._-`. Requests, with their answers:

    HELLO n                                  HELLO n version pid c|python
    PING n                                   PONG n
    LAUNCH n id file cwd stdout stderr uid gid groups umask nice rlimits flags argc argv.. env..
                                             LAUNCHED n id pid start-ticks
                                             FAILED n id errno stage
    SIGNAL n id signo leader|group|tree      SIGNALLED n id count
    DESTROY n id                             DESTROYED n id
    FORGET n id                              FORGOTTEN n id
    USAGE n id                               USAGE n id user-us system-us rss-bytes processes
                                               threads
    LIST n                                   ENTRY n id state pid start status stage user-us
                                               system-us maxrss-kb, once each, then LISTED n
    STATS n                                  STATS n name value ...
    SHUTDOWN n [force]                       BYE n
    (anything refused)                       REFUSED n sentence
    (event)                                  EXITED 0 id wait-status user-us system-us maxrss-kb

- LAUNCH is idempotent: for a known id the first outcome is answered again. LAUNCHED is said only
  once exec has succeeded, so a missing binary or directory is FAILED with its stage.
- Empty text means: `cwd` the root directory, `stdout`/`stderr` discarded, `uid` no change of user,
  `umask` 022, `nice` as the launcher. `rlimits` is `number:soft:hard,...`, -1 for no limit.
- The files of a task are opened by the task's user, after the change of user and directory.
- The launcher sets `MESOS_TWISTED_CONTAINER=<nonce>:<id>` in each task's environment: with
  parentage and session it tells whose a process is. The nonce is of the runtime directory, made
  once and kept in the journal, so that neither another launcher of the host nor a container of
  the same id elsewhere is taken for ours, and a later launcher knows the processes of this one.
- On DESTROY every process of the task is stopped, then killed. DESTROYED is said at an instant at
  which no child of the launcher can be of the task. Every process of a task is below the launcher,
  which is the reaper of orphans; so however fast one forks and leaves, it is in that list when its
  parents are gone. What leaves its session, drops its environment and outlives its parents before
  DESTROY cannot be told apart from a stranger without control groups.
- When the launcher itself is killed, its tasks live on below another reaper. The next one, started
  with the same journal, tells the statuses that were seen; it knows live tasks by pid and start
  time (a number used again is a stranger), and their other processes by the mark, and can signal
  and destroy them: DESTROYED then means that two looks in a row at the whole host found nobody.
  How such a task ends cannot be had: it is told as `lost`, never as an exit. A task that had not
  come to its exec when the launcher died does not run.
- Without a free descriptor new connections wait, and launches fail at `fork` with EMFILE; what is
  kept back serves the looks at /proc and the journal. STATS counts `passes` (over the host, for
  DESTROY) and `turns` (of the loop).
- Root, the launcher's own user and the owner of the socket's file may speak; others are cut off.
- FORGET drops what is remembered of an ended task; a live one is refused.
- States in LIST: starting, running, exited, failed, and after a launcher died itself: orphaned
  (alive, but its status cannot be had) and lost (ended, status unknown; wait-status is -1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from mesos_twisted.errors import MalformedError

VERSION = 1
#: The oldest launcher an agent of this package works with: its tasks outlive the agent's upgrade.
OLDEST = 1
#: The longest frame either side accepts, in bytes.
MAX_FRAME = 8 << 20
MARKER = "MESOS_TWISTED_CONTAINER"
SOCKET_NAME = "zygote.sock"
JOURNAL_NAME = "zygote.journal"
#: The longest path a Unix socket may have on Linux, in bytes.
MAX_SOCKET_PATH = 107

_LENGTH = struct.Struct(">I")


def frame(fields: Iterable[bytes]) -> bytes:
    """One frame with `fields`; raises `MalformedError` when it cannot be said."""
    body = b"\0".join(fields) + b"\0"
    if len(body) > MAX_FRAME:
        raise MalformedError(
            f"The launch request has {len(body)} bytes; the launcher takes at most {MAX_FRAME}."
        )
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Bytes in, frames out; keeps the unfinished rest."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The frames that `data` completes, as lists of fields; `MalformedError` on nonsense."""
        rest = self._rest + data if self._rest else data
        frames: list[list[bytes]] = []
        at, end = 0, len(rest)
        while end - at >= 4:
            (size,) = _LENGTH.unpack_from(rest, at)
            if not 0 < size <= MAX_FRAME:
                raise MalformedError(f"The launcher sent a frame of {size} bytes.")
            if end - at - 4 < size:
                break
            at += 4 + size
            if rest[at - 1]:
                raise MalformedError("The launcher sent a frame whose last field is not ended.")
            frames.append(rest[at - size : at - 1].split(b"\0"))
        self._rest = rest[at:]
        return frames
