"""How often a wrong proof may be shown: a token bucket for each address, and one for everybody.

The bucket for everybody bounds the time spent on scrypt, which an attacker with many addresses
could otherwise make us spend; good proofs, however many at once, are not counted. Time is an
argument (seconds, any origin, never backwards).
"""

from __future__ import annotations


class AttemptLimiter:
    """Counts failures. An address may fail `burst` times at once, then once every `interval_s`."""

    __slots__ = ("_addresses", "_burst", "_interval_s", "_memory", "_shared", "_shared_burst")

    def __init__(
        self,
        burst: int = 10,
        interval_s: float = 6.0,
        shared_per_s: int = 8,
        memory: int = 16384,
    ) -> None:
        self._burst = burst
        self._interval_s = interval_s
        self._memory = memory
        self._shared_burst = shared_per_s
        # A bucket is (failures still counted, when that was true).
        self._addresses: dict[str, tuple[float, float]] = {}
        self._shared = (0.0, 0.0)

    def wait_s(self, address: str, now: float) -> float:
        """Seconds this address must wait before it may try again; 0.0 when it may try now."""
        shared = (self._shared_level(now) - (self._shared_burst - 1)) / self._shared_burst
        bucket = self._addresses.get(address)
        if bucket is None:
            return max(0.0, shared)
        own = (self._level(bucket, now) - (self._burst - 1)) * self._interval_s
        return max(0.0, own, shared)

    def failed(self, address: str, now: float) -> None:
        """Count one failure of this address."""
        bucket = self._addresses.pop(address, None)
        level = self._level(bucket, now) if bucket is not None else 0.0
        if len(self._addresses) >= self._memory:
            # The address that failed longest ago has the least to lose.
            del self._addresses[next(iter(self._addresses))]
        self._addresses[address] = (min(level + 1.0, float(self._burst)), now)
        self._shared = (min(self._shared_level(now) + 1.0, float(self._shared_burst)), now)

    def succeeded(self, address: str) -> None:
        """Forget the failures of this address."""
        self._addresses.pop(address, None)

    def _shared_level(self, now: float) -> float:
        level, then = self._shared
        return max(0.0, level - (now - then) * self._shared_burst)

    def _level(self, bucket: tuple[float, float], now: float) -> float:
        level, then = bucket
        return max(0.0, level - (now - then) / self._interval_s)
