"""What a task's checks may not be, in the words that frameworks read."""

from __future__ import annotations

import pytest

from mesos_twisted.master.core.validation.checks import check_check, check_health, typed
from mesos_twisted.protocol.generated import messages as m

Health, Check = m.HealthCheckType, m.CheckInfoType
TRUE = m.CommandInfo(value="true")


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (m.HealthCheck(), "HealthCheck must specify 'type'"),
        (m.HealthCheck(type=Health.UNKNOWN), "'UNKNOWN' is not a valid health check type"),
        (
            m.HealthCheck(type=Health.COMMAND),
            "Expecting 'command' to be set for COMMAND health check",
        ),
        (
            m.HealthCheck(type=Health.COMMAND, command=m.CommandInfo()),
            "Command health check must contain 'shell command'",
        ),
        (m.HealthCheck(type=Health.TCP), "Expecting 'tcp' to be set for TCP health check"),
        (m.HealthCheck(type=Health.HTTP), "Expecting 'http' to be set for HTTP health check"),
        (
            m.HealthCheck(type=Health.HTTP, http=m.HealthCheckHTTPCheckInfo(port=1, scheme="ftp")),
            "Unsupported HTTP health check scheme: 'ftp'",
        ),
        (
            m.HealthCheck(type=Health.HTTP, http=m.HealthCheckHTTPCheckInfo(port=1, path="x")),
            "The path 'x' of HTTP health check must start with '/'",
        ),
        (
            m.HealthCheck(type=Health.COMMAND, command=TRUE, grace_period_seconds=-1.0),
            "Expecting 'grace_period_seconds' to be non-negative",
        ),
        (m.HealthCheck(type=Health.COMMAND, command=TRUE), None),
    ],
)
def test_a_health_check_is_judged_by_its_type(check: m.HealthCheck, sentence: str | None) -> None:
    assert check_health(check) == sentence


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (m.CheckInfo(), "CheckInfo must specify 'type'"),
        (m.CheckInfo(type=Check.UNKNOWN), "'UNKNOWN' is not a valid check type"),
        (m.CheckInfo(type=Check.COMMAND), "Expecting 'command' to be set for COMMAND check"),
        (m.CheckInfo(type=Check.TCP), "Expecting 'tcp' to be set for TCP check"),
        (
            m.CheckInfo(type=Check.HTTP, http=m.CheckInfoHttp(port=1, path="x")),
            "The path 'x' of HTTP check must start with '/'",
        ),
        (
            m.CheckInfo(
                type=Check.COMMAND,
                command=m.CheckInfoCommand(command=TRUE),
                timeout_seconds=float("nan"),
            ),
            "Expecting 'timeout_seconds' to be non-negative",
        ),
    ],
)
def test_a_check_is_judged_by_its_type(check: m.CheckInfo, sentence: str) -> None:
    assert check_check(check) == sentence


def test_a_health_check_that_has_both_or_neither_keeps_no_type() -> None:
    http = m.HealthCheckHTTPCheckInfo(port=80)
    assert typed(m.HealthCheck()).type is None
    assert typed(m.HealthCheck(command=TRUE, http=http)).type is None
    assert typed(m.HealthCheck(http=http)).type is Health.HTTP
