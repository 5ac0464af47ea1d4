"""Laws of the codecs: decode(encode(x)) == x, in both encodings, and another protobuf agrees."""

import enum
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages
from mesos_twisted.protocol.generated.wire import FIELDS

ROOT = Path(__file__).resolve().parents[2]
TOP = ("SchedulerCall", "SchedulerEvent", "ExecutorCall", "ExecutorEvent", "MasterCall")
TOP += ("MasterEvent", "AgentCall", "TaskInfo", "Offer", "TaskStatus", "Task", "ExecutorInfo")
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT,
    "bytes": st.binary(max_size=8),
    "bool": st.booleans(),
    "double": st.floats(allow_nan=False),
    "float": st.floats(allow_nan=False, width=32),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
}


def value_of(type_name: str, depth: int) -> st.SearchStrategy[Any]:
    if type_name in _SCALARS:
        return _SCALARS[type_name]
    kind = getattr(messages, type_name)
    return st.sampled_from(kind) if issubclass(kind, enum.Enum) else message_of(kind, depth + 1)


@st.composite
def message_of(draw: st.DrawFn, kind: type[messages.Message], depth: int = 0) -> messages.Message:
    """A message with its required fields and, near the top, a few of the optional ones."""
    fields = FIELDS[kind]
    optional = [row[1] for row in fields if row[3] != "required"]
    chosen = set(draw(st.lists(st.sampled_from(optional), max_size=3))) if optional else set()
    values: dict[str, Any] = {}
    for _, name, type_name, cardinality, _, _ in fields:
        if cardinality == "required":
            values[name] = draw(value_of(type_name, depth))
        elif name in chosen and depth < 4:
            if cardinality == "map":
                key, value = type_name[4:-1].split(",")
                entries = st.dictionaries(_SCALARS[key], value_of(value, depth), max_size=2)
                values[name] = draw(entries)
            elif cardinality == "repeated":
                values[name] = tuple(draw(st.lists(value_of(type_name, depth), max_size=2)))
            else:
                values[name] = draw(value_of(type_name, depth))
    return kind(**values)


any_message = st.sampled_from(TOP).flatmap(lambda name: message_of(getattr(messages, name)))
relaxed = settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150, deadline=None)


@relaxed
@given(any_message)
def test_json_comes_back_the_same(message: messages.Message) -> None:
    data = codec_json.encode(message)
    assert data.isascii() and b"\n" not in data
    assert codec_json.decode(type(message), data) == message
    assert codec_json.from_plain(type(message), codec_json.parse(data)) == message


@relaxed
@given(any_message)
def test_protobuf_comes_back_the_same(message: messages.Message) -> None:
    assert codec_protobuf.decode(type(message), codec_protobuf.encode(message)) == message


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The same schema compiled for Google's protobuf."""
    folder = tmp_path_factory.mktemp("proto")
    tool = ROOT / "tools" / "generate_protocol.py"
    subprocess.run([sys.executable, str(tool), "--proto", str(folder / "mt.proto")], check=True)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--python_out={folder}"]
    subprocess.run([*command, "mt.proto"], check=True, capture_output=True)
    spec = importlib.util.spec_from_file_location("mt_pb2", folder / "mt_pb2.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@relaxed
@given(message=any_message)
def test_another_protobuf_reads_and_writes_the_same(
    peer: ModuleType, message: messages.Message
) -> None:
    theirs = getattr(peer, type(message).__name__)()
    theirs.ParseFromString(codec_protobuf.encode(message))
    assert codec_protobuf.decode(type(message), theirs.SerializeToString()) == message


@relaxed
@given(message=any_message)
def test_another_protobuf_reads_our_json(peer: ModuleType, message: messages.Message) -> None:
    theirs = getattr(peer, type(message).__name__)()
    json_format.Parse(codec_json.encode(message), theirs)
    assert codec_protobuf.decode(type(message), theirs.SerializeToString()) == message


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(TOP), st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_clear_refusal(name: str, data: bytes) -> None:
    for decode in (codec_json.decode, codec_protobuf.decode):
        try:
            decode(getattr(messages, name), data)
        except MalformedError as error:
            assert str(error)
