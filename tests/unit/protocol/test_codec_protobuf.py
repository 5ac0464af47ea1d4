"""Protobuf in and out: unknown fields kept, bad bytes refused."""

import pytest

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import codec_protobuf
from mesos_twisted.protocol.generated import messages as m


def test_a_known_message_has_its_published_bytes() -> None:
    framework = m.FrameworkInfo(user="u", name="n", roles=("a", "b"), checkpoint=True)
    assert codec_protobuf.encode(framework) == b"\x0a\x01u\x12\x01n\x28\x01\x62\x01a\x62\x01b"


def test_unknown_fields_are_kept() -> None:
    data = b"\x0a\x01k" + b"\xfa\x07\x03abc" + b"\xf8\x07\x05"
    label = codec_protobuf.decode(m.Label, data)
    assert label.key == "k" and label.value is None
    assert codec_protobuf.encode(label) == data


def test_an_unknown_enum_number_counts_as_an_unknown_field() -> None:
    data = b"\x08\xe8\x07"
    capability = codec_protobuf.decode(m.FrameworkInfoCapability, data)
    assert capability.type is None
    assert codec_protobuf.encode(capability) == data


def test_a_singular_message_given_twice_is_merged() -> None:
    one = codec_protobuf.encode(m.Address(hostname="h", port=1))
    two = codec_protobuf.encode(m.Address(ip="i", port=2))
    data = b"\x0a\x01s" + b"".join(b"\x12" + bytes([len(part)]) + part for part in (one, two))
    url = codec_protobuf.decode(m.URL, data)
    assert url.address == m.Address(hostname="h", ip="i", port=2)


def test_missing_required_fields_are_named() -> None:
    with pytest.raises(MalformedError, match=r"Missing required fields: value"):
        codec_protobuf.decode(m.TaskID, b"")


@pytest.mark.parametrize(
    "data",
    [b"\x0a", b"\x0a\x05ab", b"\x0a\xff", b"\x00\x01", b"\x0b", b"\x0a\x02\xff\xfe", b"\x80" * 20],
)
def test_bad_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        codec_protobuf.decode(m.TaskID, data)


def test_deep_nesting_is_refused() -> None:
    data = codec_protobuf.encode(m.ContainerID(value="c"))
    for _ in range(101):
        data = b"\x0a\x01c\x12" + codec_protobuf.varint(len(data)) + data
    with pytest.raises(MalformedError, match="nested deeper"):
        codec_protobuf.decode(m.ContainerID, data)


def test_negative_numbers_survive() -> None:
    failure = m.SchedulerEventFailure(status=-1)
    assert codec_protobuf.decode(m.SchedulerEventFailure, codec_protobuf.encode(failure)) == failure
