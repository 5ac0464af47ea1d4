"""Which handler a path belongs to: the longest known path before it, as libprocess routes.

`/master/state`, `/state/`, `/state.json` and `/state` are one page; `/api/v1/operator` lands on
`/api/v1`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

H = TypeVar("H")

_PROCESS = "/master"
#: Asked for as .json by old tools.
_SUFFIX = ".json"


class Router:
    """A fixed table of paths."""

    def __init__(self, routes: Mapping[str, Callable[..., object]]) -> None:
        self._routes = dict(routes)
        self._found: dict[str, str | None] = {}

    def find(self, path: str) -> str | None:
        """The known path that `path` belongs to, or None."""
        try:
            return self._found[path]
        except KeyError:
            found = self._search(path)
            if len(self._found) < 4096 and found is not None:
                self._found[path] = found
            return found

    def _search(self, path: str) -> str | None:
        path = path.rstrip("/")
        if path.endswith(_SUFFIX):
            path = path.removesuffix(_SUFFIX)
        for candidate in (path, path.removeprefix(_PROCESS) if _is_below(path) else ""):
            while candidate:
                if candidate in self._routes:
                    return candidate
                candidate = candidate.rpartition("/")[0]
        return None


def _is_below(path: str) -> bool:
    return path.startswith(_PROCESS + "/")
