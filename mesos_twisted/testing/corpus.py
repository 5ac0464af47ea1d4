"""Every record that outlives a process or crosses versions, with every field set, as bytes.

    from_agent/<tag>, from_master/<tag>   records of the link, without their length
    rows/<kind>                           rows of an agent's checkpoint
    registry/<table>                      records of a master's registry
    registry.backup                       what `registry backup` writes

Each version's bytes are kept below `tests/corpus/<version>/`; what later code must make of them is
told in the test beside. Values are made from the types alone, so a field that is added is set too.
"""

from __future__ import annotations

import enum
import struct
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from mesos_twisted.agent.core import rows
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.registry import operations, raw
from mesos_twisted.registry.operations import LeaderRecord

#: How deep a message holds others before optional ones are left out.
DEPTH = 8
ROWS: dict[str, type[msgspec.Struct]] = {
    "agent": rows.AgentRow,
    "framework": rows.FrameworkRow,
    "executor": rows.ExecutorRow,
    "task": rows.TaskRow,
    "update": rows.UpdateRow,
    "done": rows.DoneRow,
    "drain": rows.DrainRow,
}
_ROW_FIELDS = {"kind": "command"}
_encode = msgspec.msgpack.Encoder().encode


def record() -> dict[str, bytes]:
    """File name -> bytes, of this version."""
    out: dict[str, bytes] = {}
    for side, union in (("from_agent", agentlink.FromAgent), ("from_master", agentlink.FromMaster)):
        for kind in get_args(union):
            out[f"{side}/{kind.__struct_config__.tag}"] = _encode(full(kind))
    for name, kind in ROWS.items():
        fixed = {key: value for key, value in _ROW_FIELDS.items() if key in kind.__struct_fields__}
        out[f"rows/{name}"] = _encode(full(kind, **fixed))
    out.update(_registry())
    return out


def _registry() -> dict[str, bytes]:
    number = struct.pack(">d", 1.5)
    tables = {
        operations.AGENTS: _encode(full(m.AgentInfo)),
        operations.UNREACHABLE: number,
        operations.GONE: number,
        operations.WEIGHTS: number,
        operations.DEACTIVATED: _encode({}),
        operations.DRAINS: _encode(full(m.DrainConfig)),
        operations.DRAINED: _encode({}),
        operations.MASTER: _encode(full(LeaderRecord)),
    }
    assert set(tables) == set(operations.TABLES)
    backup = raw.Raw(1, 7, tuple((table, key_of(table), value) for table, value in tables.items()))
    return {f"registry/{table}": value for table, value in tables.items()} | {
        "registry.backup": raw.encode(backup)
    }


def key_of(table: str) -> str:
    """The key under which a table's record of the corpus is kept."""
    return table if table == operations.MASTER else f"{table}-key"


def full(kind: type[Any], depth: int = DEPTH, /, **fixed: Any) -> Any:
    """A message with every field set, `fixed` ones as given."""
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    required = {one.name for one in msgspec.structs.fields(kind) if one.required}
    for name in kind.__struct_fields__:
        if name in fixed:
            values[name] = fixed[name]
        elif name == "unknown_wire":
            continue
        elif name in required or depth > 0:
            values[name] = _value(name, hints[name], depth)
    return kind(**values)


def _value(name: str, hint: Any, depth: int) -> Any:
    arguments = [one for one in get_args(hint) if one is not type(None)]
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _value(name, arguments[0], depth)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return (_value(name, arguments[0], depth),)
        return tuple(_value(name, one, depth) for one in arguments)
    if origin is dict:
        return {f"{name}-key": _value(name, arguments[1], depth)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return full(hint, depth - 1)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return list(hint)[-1]
    return _SCALARS[hint](name)


_SCALARS: Mapping[Any, Callable[[str], Any]] = {
    str: lambda name: f"{name}-ä",
    bytes: lambda name: name.encode() + b"\x00\xff",
    int: lambda name: 1 << 40,
    float: lambda name: 2.5,
    bool: lambda name: True,
}


def checkpoint(records: Mapping[str, bytes]) -> dict[str, bytes]:
    """The rows of `records` under keys that fit each other: a framework's task, and one ended."""
    info = rows.DECODERS["task"](records["rows/task"])
    assert isinstance(info, rows.TaskRow)
    task, run = info.info.task_id.value, "run-1"
    return {
        "agent/info": records["rows/agent"],
        "framework/f": records["rows/framework"],
        f"executor/f/{info.executor_id}/{info.run}": records["rows/executor"],
        f"task/f/{task}": records["rows/task"],
        f"update/f/{task}/00000000": records["rows/update"],
        f"done/f/old/{run}": records["rows/done"],
        "drain/config": records["rows/drain"],
    }
