"""JSON to a typed call, beside protobuf's own json_format on the same bytes."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import Report
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m


def accept_call() -> m.SchedulerCall:
    """An ACCEPT that launches one command task with labels, as frameworks send it."""
    task = m.TaskInfo(
        name="web.3f2a",
        task_id=m.TaskID(value="web.3f2a8d51-0001"),
        agent_id=m.AgentID(value="0f5d2b9e-7c1e-4e29-a6ad-2d41b3a1c001-S12"),
        resources=(
            _scalar("cpus", 0.5),
            _scalar("mem", 256),
            _scalar("disk", 100),
            m.Resource(
                name="ports",
                type=m.ValueType.RANGES,
                ranges=m.ValueRanges(range=(m.ValueRange(begin=31005, end=31006),)),
                allocation_info=m.ResourceAllocationInfo(role="web"),
            ),
        ),
        command=m.CommandInfo(
            value="exec ./server --port $PORT0",
            environment=m.Environment(
                variables=(
                    m.EnvironmentVariable(name="PORT0", value="31005"),
                    m.EnvironmentVariable(name="HOST", value="agent12.example.org"),
                )
            ),
        ),
        labels=m.Labels(labels=tuple(m.Label(key=f"k{n}", value=f"v{n}") for n in range(5))),
    )
    operation = m.OfferOperation(
        type=m.OfferOperationType.LAUNCH, launch=m.OfferOperationLaunch(task_infos=(task,))
    )
    return m.SchedulerCall(
        type=m.SchedulerCallType.ACCEPT,
        framework_id=m.FrameworkID(value="0f5d2b9e-7c1e-4e29-a6ad-2d41b3a1c001-0003"),
        accept=m.SchedulerCallAccept(
            offer_ids=(m.OfferID(value="0f5d2b9e-7c1e-4e29-a6ad-2d41b3a1c001-O845"),),
            operations=(operation,),
            filters=m.Filters(refuse_seconds=5.0),
        ),
    )


def _scalar(name: str, value: float) -> m.Resource:
    return m.Resource(
        name=name,
        type=m.ValueType.SCALAR,
        scalar=m.ValueScalar(value=value),
        allocation_info=m.ResourceAllocationInfo(role="web"),
    )


def _each(work: Callable[[], object], seconds: float = 0.3) -> float:
    """CPU seconds of one run: the best of five series."""
    best = float("inf")
    for _ in range(5):
        count, began = 0, time.process_time()
        while (used := time.process_time() - began) < seconds / 5:
            for _ in range(20):
                work()
            count += 20
        best = min(best, used / count)
    return best


def run(report: Report) -> None:
    """Decode and encode one ACCEPT."""
    call = accept_call()
    body = codec_json.encode(call)
    assert codec_json.decode(m.SchedulerCall, body) == call
    ours = _each(lambda: codec_json.decode(m.SchedulerCall, body))
    note = f"{len(body)} bytes"
    report.add("ACCEPT from JSON", ours * 1e6, "us", at_most=15, note=note)
    report.add("ACCEPT to JSON", _each(lambda: codec_json.encode(call)) * 1e6, "us")
    try:
        json_format = importlib.import_module("google.protobuf.json_format")
        kind = _protobuf_call()
    except ImportError as error:
        report.add("json_format of protobuf", None, note=f"not installed: {error}")
        return
    text = body.decode()
    theirs = _each(lambda: json_format.Parse(text, kind(), ignore_unknown_fields=True))
    report.add("ACCEPT by json_format", theirs * 1e6, "us")
    report.add("json_format over ours", theirs / ours, "x", at_least=30)


def _protobuf_call() -> Callable[[], object]:
    """The Call class of another protobuf implementation, compiled from our schema."""
    protoc = importlib.import_module("grpc_tools.protoc")
    pool_module = importlib.import_module("google.protobuf.descriptor_pool")
    sets = importlib.import_module("google.protobuf.descriptor_pb2")
    factory = importlib.import_module("google.protobuf.message_factory")
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as directory:
        source, compiled = Path(directory) / "mt.proto", Path(directory) / "mt.set"
        tool = root / "tools" / "generate_protocol.py"
        subprocess.run([sys.executable, str(tool), "--proto", str(source)], check=True)
        arguments = ["protoc", f"-I{directory}", f"--descriptor_set_out={compiled}", str(source)]
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc refused the generated schema")
        found = sets.FileDescriptorSet.FromString(compiled.read_bytes())
    pool = pool_module.DescriptorPool()
    for file in found.file:
        pool.Add(file)
    kind: Callable[[], object] = factory.GetMessageClass(
        pool.FindMessageTypeByName("mt.SchedulerCall")
    )
    return kind
