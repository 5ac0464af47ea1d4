"""Every message of the v1 API as Apache Mesos's definitions encode it; see record_bytes.py."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import json_format

from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages
from mesos_twisted.protocol.generated.wire import ENUMS

HERE = Path(__file__).resolve().parent
DATA: dict[str, Any] = json.loads((HERE / "golden_bytes.json").read_text())
CASES: list[dict[str, str]] = DATA["cases"]
TYPED = (
    "SchedulerCall",
    "SchedulerEvent",
    "ExecutorCall",
    "ExecutorEvent",
    "MasterCall",
    "MasterResponse",
    "MasterEvent",
    "AgentCall",
    "AgentResponse",
    "AgentProcessIO",
)


def wrong(of: dict[str, str]) -> str:
    return f"{of['message']} {of['case']}"


def test_the_bytes_of_every_message_come_back() -> None:
    """Protobuf is read without an unknown field and written again byte for byte."""
    failed = []
    for one in CASES:
        data = bytes.fromhex(one["hex"])
        message = codec_protobuf.decode(getattr(messages, one["message"]), data)
        if message.unknown_wire or codec_protobuf.encode(message) != data:
            failed.append(wrong(one))
    assert not failed


def test_the_json_of_every_message_comes_back() -> None:
    """The JSON of a message is the recorded text, and that text is the same message."""
    failed = []
    for one in CASES:
        kind = getattr(messages, one["message"])
        message = codec_protobuf.decode(kind, bytes.fromhex(one["hex"]))
        text = one["json"].encode()
        if codec_json.encode(message) != text or codec_json.decode(kind, text) != message:
            failed.append(wrong(one))
    assert not failed


def test_every_type_of_call_and_event_is_there() -> None:
    """No type is left out, and each has its part filled where it has one."""
    for name in TYPED:
        kind = getattr(messages, name)
        types = {value.value for value in getattr(messages, f"{name}Type")}
        cases = {one["case"]: one for one in CASES if one["message"] == name}
        assert types <= set(cases), (name, types - set(cases))
        for type_name in types:
            document = json.loads(cases[type_name]["json"])
            part = type_name.lower()
            assert document["type"] == type_name
            assert (part in document) == (part in kind.__struct_fields__), (name, type_name)


def test_every_message_has_a_case_with_every_field() -> None:
    """A field nobody sets is a field nobody has checked."""
    seen: dict[str, set[str]] = {}
    for one in CASES:
        document = json.loads(one["json"])
        seen.setdefault(one["message"], set()).update(document)
    for name, fields in seen.items():
        known = set(getattr(messages, name).__struct_fields__) - {"unknown_wire"}
        assert fields == known, (name, fields ^ known)


def test_enum_texts_have_mesos_s_numbers() -> None:
    """Every text and number, of every enum."""
    ours = {kind.__name__: numbers for kind, numbers in ENUMS.items()}
    for name, numbers in DATA["enums"].items():
        assert ours[name] == numbers, name


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Our schema compiled for Google's protobuf."""
    folder = tmp_path_factory.mktemp("proto")
    tool = HERE.parents[1] / "tools" / "generate_protocol.py"
    subprocess.run([sys.executable, str(tool), "--proto", str(folder / "mt.proto")], check=True)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--python_out={folder}"]
    subprocess.run([*command, "mt.proto"], check=True, capture_output=True)
    spec = importlib.util.spec_from_file_location("mt_bytes_pb2", folder / "mt_pb2.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_google_s_protobuf_agrees_about_our_schema(peer: ModuleType) -> None:
    """With our schema it reads the bytes and our JSON, and writes the same bytes."""
    failed = []
    for one in CASES:
        kind = getattr(peer, one["message"])
        data = bytes.fromhex(one["hex"])
        theirs = kind.FromString(data)
        from_json = json_format.Parse(one["json"], kind())
        ours = codec_protobuf.decode(
            getattr(messages, one["message"]), from_json.SerializeToString()
        )
        if theirs.SerializeToString(deterministic=True) != data:
            failed.append(wrong(one))
        elif codec_json.encode(ours) != one["json"].encode():
            failed.append(wrong(one) + " (JSON)")
    assert not failed
