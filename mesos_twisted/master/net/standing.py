"""What a master does or waits for, in a line for `systemctl status`, and when it is stuck."""

from __future__ import annotations

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.systemd import Standing


def standing(
    leader: m.MasterInfo | None, is_us: bool, leading: bool, write_s: float, limit_s: float
) -> Standing:
    """`leading` once the registry is read and says so; `write_s` is the age of the oldest write
    of the registry that is not done, and `limit_s` what it may be."""
    if write_s > limit_s:
        return Standing(
            f"Waiting for the registry: a write takes longer than {limit_s:g} s "
            "(--registry_store_timeout)",
            stuck=True,
        )
    if is_us:
        return Standing("Leading" if leading else "Elected: reading the registry")
    if leader is None:
        return Standing("Waiting for the election of a leader")
    return Standing(f"Standing by for {leader.hostname or 'the leader'}:{leader.port}")
