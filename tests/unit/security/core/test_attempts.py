"""Wrong proofs are slowed down, by address and altogether; time heals both."""

from __future__ import annotations

import pytest

from mesos_twisted.security.core.attempts import AttemptLimiter


def test_an_address_may_fail_a_few_times_then_waits() -> None:
    limiter = AttemptLimiter(burst=3, interval_s=10.0, shared_per_s=100)
    for _ in range(3):
        assert limiter.wait_s("a", 0.0) == 0.0
        limiter.failed("a", 0.0)
    assert limiter.wait_s("a", 0.0) == 10.0
    assert limiter.wait_s("a", 4.0) == pytest.approx(6.0)
    assert limiter.wait_s("a", 10.0) == 0.0
    assert limiter.wait_s("b", 0.0) == 0.0


def test_success_forgets() -> None:
    limiter = AttemptLimiter(burst=1, interval_s=10.0)
    limiter.failed("a", 0.0)
    assert limiter.wait_s("a", 0.0) == 10.0
    limiter.succeeded("a")
    assert limiter.wait_s("a", 0.0) == 0.0


def test_many_addresses_together_are_bounded_too() -> None:
    limiter = AttemptLimiter(shared_per_s=4)
    for number in range(4):
        assert limiter.wait_s(f"a{number}", 0.0) == 0.0
        limiter.failed(f"a{number}", 0.0)
    assert limiter.wait_s("new", 0.0) == 0.25
    assert limiter.wait_s("new", 0.25) == 0.0


def test_memory_is_bounded_and_drops_the_oldest() -> None:
    limiter = AttemptLimiter(burst=1, interval_s=1000.0, shared_per_s=1000, memory=2)
    for name in ("a", "b", "c"):
        limiter.failed(name, 0.0)
    assert [limiter.wait_s(name, 1.0) > 0 for name in ("a", "b", "c")] == [False, True, True]
