"""What the pages say about the master itself, besides its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesos_twisted.protocol.generated import messages as m


@dataclass(frozen=True, slots=True)
class Facts:
    """Fixed for the life of the process; `build_time` is seconds since the epoch."""

    version: str
    build_date: str = ""
    build_time: float = 0.0
    build_user: str = ""
    cluster: str | None = None
    external_log_file: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)

    def version_document(self) -> dict[str, object]:
        """The answer of /version."""
        return {
            "build_date": self.build_date,
            "build_time": self.build_time,
            "build_user": self.build_user,
            "version": self.version,
        }

    def version_info(self) -> m.VersionInfo:
        """The answer of GET_VERSION."""
        return m.VersionInfo(
            version=self.version,
            build_date=self.build_date,
            build_time=self.build_time,
            build_user=self.build_user,
        )

    def flag_messages(self) -> tuple[m.Flag, ...]:
        """The answer of GET_FLAGS."""
        return tuple(m.Flag(name=name, value=value) for name, value in sorted(self.flags.items()))
