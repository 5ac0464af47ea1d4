"""Records on the link: what cannot be read is malformed, what nobody knows is skipped."""

import msgspec
import pytest

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import agentlink

SAID = agentlink.ExitedExecutor(framework_id="ffff", executor_id="e", status=9)
BODY = agentlink.frame(SAID)[4:]


def test_a_record_comes_back() -> None:
    assert agentlink.from_agent(BODY) == SAID


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY[:-1],
        BODY.replace(b"ffff", b"f\xff\xfef"),
        b"\x91" * 100_000,
        msgspec.msgpack.encode({"t": "exited", "framework_id": 7}),
        msgspec.msgpack.encode({"t": 7}),
    ],
    ids=["empty", "cut", "no UTF-8", "deep", "wrong type", "wrong tag"],
)
def test_what_cannot_be_read_is_malformed(body: bytes) -> None:
    for read in (agentlink.from_agent, agentlink.from_master):
        with pytest.raises(MalformedError, match="link record"):
            read(body)


def test_an_unknown_type_is_nothing() -> None:
    assert agentlink.from_agent(msgspec.msgpack.encode({"t": "from the future"})) is None
