"""What documents show that is no part of the core's state: build, flags, the master's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Facts:
    """Fixed while the process runs. Times in epoch seconds."""

    version: str
    start_time: float
    flags: Mapping[str, str] = field(default_factory=dict)
    build_date: str = ""
    build_time: float = 0.0
    build_user: str = ""
    external_log_file: str | None = None

    def version_document(self) -> dict[str, Any]:
        """The body of `/version`."""
        return {
            "build_date": self.build_date,
            "build_time": self.build_time,
            "build_user": self.build_user,
            "version": self.version,
        }
