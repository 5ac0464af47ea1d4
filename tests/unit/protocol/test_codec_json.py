"""JSON in and out as Mesos's clients write and read it."""

import json

import pytest

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m


def decode(document: object) -> m.SchedulerCall:
    return codec_json.decode(m.SchedulerCall, json.dumps(document).encode())


def subscribe(**extra: object) -> dict[str, object]:
    info = {"user": "u", "name": "n", **extra}
    return {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}


def framework(call: m.SchedulerCall) -> m.FrameworkInfo:
    assert call.subscribe is not None
    return call.subscribe.framework_info


def test_unknown_keys_are_ignored() -> None:
    """mesoshttp really sends `subscribe.credentials`."""
    assert framework(decode(subscribe(nonsense={"a": [1]}))).name == "n"


def test_null_means_unset() -> None:
    assert framework(decode(subscribe(hostname=None, id=None))).id is None


def test_an_unknown_enum_text_is_dropped_from_an_optional_field() -> None:
    call = decode(subscribe(capabilities=[{"type": "FROM_THE_FUTURE"}]))
    assert framework(call).capabilities[0].type is None


def test_numbers_and_booleans_may_come_as_strings() -> None:
    info = framework(decode(subscribe(failover_timeout="12.5", checkpoint="true")))
    assert (info.failover_timeout, info.checkpoint) == (12.5, True)


def test_infinity_is_a_string_in_and_out() -> None:
    info = framework(decode(subscribe(failover_timeout="Infinity")))
    assert info.failover_timeout == float("inf")
    assert json.loads(codec_json.encode(info))["failover_timeout"] == "Infinity"


def test_a_bare_value_stands_for_a_repeated_field_of_one() -> None:
    assert framework(decode(subscribe(roles="a"))).roles == ("a",)


def test_an_array_for_a_singular_field_is_an_error() -> None:
    with pytest.raises(MalformedError, match="Not expecting a JSON array for field"):
        decode(subscribe(hostname=["a"]))


def test_camel_case_is_not_recognised() -> None:
    assert framework(decode(subscribe(failoverTimeout=3))).failover_timeout == 0.0


def test_missing_required_fields_are_named() -> None:
    with pytest.raises(MalformedError) as error:
        decode({"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u"}}})
    assert str(error.value) == (
        "Failed to convert JSON into Call protobuf: "
        "Missing required fields: subscribe.framework_info.name"
    )


@pytest.mark.parametrize("body", [b"", b"not json", b"{", b"\xff\xfe", b'{"type":"KILL"} x'])
def test_bytes_that_are_not_json_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match="Failed to parse body into JSON"):
        codec_json.decode(m.SchedulerCall, body)


@pytest.mark.parametrize("body", [b"[]", b"3", b'"x"', b"null"])
def test_json_that_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match="Expecting a JSON object"):
        codec_json.decode(m.SchedulerCall, body)


@pytest.mark.parametrize("opening", [b"[", b'{"subscribe":', b'{"a":'])
def test_deep_nesting_is_refused_without_harm(opening: bytes) -> None:
    with pytest.raises(MalformedError):
        codec_json.decode(m.SchedulerCall, opening * 100_000)


def test_output_is_one_line_of_ascii() -> None:
    """Clients slice by characters and split on newlines."""
    text = "line\nbreak \u00e9 \u4e2d \U0001f600 \x7f"
    out = codec_json.encode(m.Label(key="k", value=text))
    assert out.isascii() and b"\n" not in out
    assert json.loads(out)["value"] == text


def test_fields_with_a_proto_default_are_printed_even_when_unset() -> None:
    assert json.loads(codec_json.encode(m.CommandInfo(value="x"))) == {"value": "x", "shell": True}
    info = json.loads(codec_json.encode(m.FrameworkInfo(user="u", name="n")))
    assert info == {"user": "u", "name": "n", "failover_timeout": 0.0, "checkpoint": False}


def test_large_integers_are_numbers_and_doubles_keep_their_point() -> None:
    assert codec_json.encode(m.DurationInfo(nanoseconds=2**62)) == b'{"nanoseconds":%d}' % 2**62
    assert b"15.0" in codec_json.encode(
        m.SchedulerEventSubscribed(
            framework_id=m.FrameworkID(value="f"), heartbeat_interval_seconds=15.0
        )
    )


def test_integers_out_of_range_are_refused() -> None:
    with pytest.raises(MalformedError, match="out of range"):
        codec_json.decode(m.Port, b'{"number": "4294967296"}')


def test_bytes_are_base64() -> None:
    call = decode(
        {
            "type": "ACKNOWLEDGE",
            "acknowledge": {
                "agent_id": {"value": "a"},
                "task_id": {"value": "t"},
                "uuid": "AAECAwQFBgcICQoLDA0ODw==",
            },
        }
    )
    assert call.acknowledge is not None
    assert call.acknowledge.uuid == bytes(range(16))


def test_nobody_can_smuggle_wire_bytes_through_json() -> None:
    """The slot for unknown protobuf fields is not a JSON field."""
    label = codec_json.decode(m.Label, b'{"key": "k", "unknown_wire": "EgF2"}')
    assert label == m.Label(key="k")


def test_unknown_wire_bytes_do_not_show_in_json() -> None:
    label = m.Label(key="k", unknown_wire=b"\x1a\x01v")
    assert codec_json.encode(label) == b'{"key":"k"}'


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"not json", "line 1 near: not json"),
        (b'{"type":\n  REVIVE}', "line 2 near: REVIVE}"),
        (b'{"a": 1', "line 1 near: "),
        (b'{"a": NaN}', "line 1 ("),
    ],
)
def test_malformed_json_is_told_with_its_place(body: bytes, where: str) -> None:
    """The sentence names the line and shows what stands there."""
    with pytest.raises(MalformedError) as caught:
        codec_json.decode(m.SchedulerCall, body)
    start = "Failed to parse body into JSON: syntax error at "
    assert str(caught.value).startswith(start + where)
