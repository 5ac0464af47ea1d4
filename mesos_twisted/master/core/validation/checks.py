"""Is this check, or health check, of a task well formed?

Sentences are Mesos's; the framework reads them behind "Task uses invalid check: ".
"""

from __future__ import annotations

import msgspec

from mesos_twisted.protocol.generated import messages as m

_Health = m.HealthCheckType
_Check = m.CheckInfoType


def typed(check: m.HealthCheck) -> m.HealthCheck:
    """Older clients leave out the type; the command or the http they give tells it."""
    if check.type is not None or (check.command is None) == (check.http is None):
        return check
    kind = _Health.COMMAND if check.http is None else _Health.HTTP
    return msgspec.structs.replace(check, type=kind)


def check_health(check: m.HealthCheck) -> str | None:
    """What is wrong with a health check, or None."""
    kind = check.type
    if kind is None:
        return "HealthCheck must specify 'type'"
    if kind is _Health.UNKNOWN:
        return "'UNKNOWN' is not a valid health check type"
    problem = None
    if kind is _Health.COMMAND:
        problem = _check_command("health check", check.command)
    elif kind is _Health.TCP:
        problem = None if check.tcp is not None else _missing("tcp", "TCP health check")
    elif check.http is None:
        problem = _missing("http", "HTTP health check")
    elif check.http.scheme not in (None, "http", "https"):
        problem = f"Unsupported HTTP health check scheme: '{check.http.scheme}'"
    else:
        problem = _check_path("health check", check.http.path)
    return problem or _check_seconds(
        delay_seconds=check.delay_seconds,
        grace_period_seconds=check.grace_period_seconds,
        interval_seconds=check.interval_seconds,
        timeout_seconds=check.timeout_seconds,
    )


def check_check(check: m.CheckInfo) -> str | None:
    """What is wrong with a check, or None."""
    kind = check.type
    if kind is None:
        return "CheckInfo must specify 'type'"
    if kind is _Check.UNKNOWN:
        return "'UNKNOWN' is not a valid check type"
    problem = None
    if kind is _Check.COMMAND:
        problem = _check_command("check", None if check.command is None else check.command.command)
    elif kind is _Check.TCP:
        problem = None if check.tcp is not None else _missing("tcp", "TCP check")
    elif check.http is None:
        problem = _missing("http", "HTTP check")
    else:
        problem = _check_path("check", check.http.path)
    return problem or _check_seconds(
        delay_seconds=check.delay_seconds,
        interval_seconds=check.interval_seconds,
        timeout_seconds=check.timeout_seconds,
    )


def _missing(name: str, what: str) -> str:
    return f"Expecting '{name}' to be set for {what}"


def _check_command(what: str, command: m.CommandInfo | None) -> str | None:
    if command is None:
        return _missing("command", f"COMMAND {what}")
    if command.value is None:
        wanted = "shell command" if command.shell else "executable path"
        return f"Command {what} must contain '{wanted}'"
    return None


def _check_path(what: str, path: str | None) -> str | None:
    if path is not None and not path.startswith("/"):
        return f"The path '{path}' of HTTP {what} must start with '/'"
    return None


def _check_seconds(**seconds: float) -> str | None:
    for name, value in seconds.items():
        if not value >= 0:
            return f"Expecting '{name}' to be non-negative"
    return None
