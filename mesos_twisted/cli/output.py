"""Copies tasks' stdout and stderr from their sandboxes to ours, byte for byte."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import BinaryIO

from mesos_twisted.cli.client import Cluster, NotFoundError

#: Seconds between looks: short at first, longer the longer nothing comes.
_PAUSES_S = (0.05, 0.1, 0.2, 0.5)


class Output:
    """Where the copying has got to in every stream."""

    def __init__(self, cluster: Cluster, agent_url: str, sandboxes: Iterable[str]) -> None:
        self._cluster, self._agent_url = cluster, agent_url
        ours: tuple[tuple[str, BinaryIO], ...] = (
            ("stdout", sys.stdout.buffer),
            ("stderr", sys.stderr.buffer),
        )
        self._streams = [(f"{box}/{name}", out) for box in sandboxes for name, out in ours]
        self._offsets = dict.fromkeys((path for path, _ in self._streams), 0)
        self._quiet = 0

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look."""
        return _PAUSES_S[min(self._quiet, len(_PAUSES_S)) - 1]

    async def copy(self, ended: bool) -> bool:
        """Copy what is there; was there anything? When a task `ended` without a sandbox there is
        nothing to copy. Raises what the reading raises, and OSError when our side is closed."""
        more = False
        for path, out in self._streams:
            try:
                data = await self._cluster.read(self._agent_url, path, self._offsets[path])
            except NotFoundError:
                if not ended:
                    raise
                continue
            if data:
                more = True
                self._offsets[path] += len(data)
                out.write(data)
                out.flush()
        self._quiet = 0 if more else self._quiet + 1
        return more
