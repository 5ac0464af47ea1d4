"""A log line is one object with the event's own fields."""

import io

import msgspec
from twisted.logger import Logger, LogLevel

from mesos_twisted.logs import Logging, as_json


def test_fields_are_keys() -> None:
    """An id can be searched for."""
    out = io.StringIO()
    logging = Logging(out, "json", "INFO")
    log = Logger(namespace="n", observer=logging.observer)
    log.info("Agent {agent_id} is lost\nreally", agent_id="a-S0", data=b"x")
    log.debug("not shown")
    lines = out.getvalue().splitlines()
    assert len(lines) == 1
    found = msgspec.json.decode(lines[0])
    assert found["message"] == "Agent a-S0 is lost\nreally"
    assert (found["level"], found["agent_id"], found["data"]) == ("info", "a-S0", "x")
    logging.set_level("DEBUG")
    log.debug("shown")
    assert len(out.getvalue().splitlines()) == 2


def test_a_failure_keeps_its_traceback() -> None:
    """The traceback stays within the one line."""
    out = io.StringIO()
    log = Logger(namespace="n", observer=Logging(out, "json", "INFO").observer)
    try:
        raise ValueError("broken")
    except ValueError:
        log.failure("It failed")
    found = msgspec.json.decode(out.getvalue())
    assert found["error"] == "broken" and "ValueError" in found["traceback"]


def test_text_lines() -> None:
    """The text form is for people."""
    out = io.StringIO()
    Logger(namespace="n", observer=Logging(out, "text", "WARNING").observer).warn("Careful")
    assert "[n#warn] Careful" in out.getvalue()


def test_an_event_without_anything() -> None:
    """Odd events are still lines."""
    assert "time" in msgspec.json.decode(as_json({"log_level": LogLevel.info}))


def test_which_lines_would_be_written_follows_the_level() -> None:
    """What nobody reads need not be made."""
    logging = Logging(io.StringIO(), "json", "INFO")
    assert [logging.writes(level) for level in ("debug", "info", "warn", "error")] == [
        False,
        True,
        True,
        True,
    ]
    logging.set_level("DEBUG")
    assert logging.writes("debug")
    logging.set_level("ERROR")
    assert logging.writes("error") and not logging.writes("warn")
