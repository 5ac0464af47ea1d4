"""What to spoil, and how: calls of every kind, words that matter to a parser, seeded mutations."""

import random
from typing import Any


def mutated(chance: random.Random, seed: bytes, words: tuple[bytes, ...]) -> bytes:
    """One to four small changes of `seed`."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 2, 8, 64)))
        match chance.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end] * chance.choice((1, 2, 50))
            case 3:
                data[at:end] = chance.choice(words)
            case 4:
                data[at:at] = chance.randbytes(chance.choice((1, 4, 32)))
            case _:
                del data[at:]
    return bytes(data)


JSON_WORDS = (
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 400,
    b'"\\ud800"',
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\xff\xfe",
    b"\0",
    b'"value":',
    b'"type":',
    b",",
    b"}",
    b"\\u0000",
)


RAW_WORDS = (
    b"\xff" * 10,
    b"\x80" * 12 + b"\x01",
    b"\0",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x0b" * 200,
    b"\x7f",
)


HTTP_WORDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b" ",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: x\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/9.9",
    b"%00",
    b"%",
    b"/../",
    b"?" * 100,
    b"A" * 70_000,
    b"X: y\r\n" * 2000,
    b"ffffffffffffffff",
    b"0\r\nTrailer: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
)


def scheduler_calls(framework_id: str) -> list[dict[str, Any]]:
    fid, offer = {"value": framework_id}, {"value": "x-O1"}
    resource = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}}
    ports = {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 9}]}}
    task = {
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": "a"},
        "resources": [resource, ports],
        "command": {"value": "true", "environment": {"variables": [{"name": "A", "value": "b"}]}},
    }
    launch = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
    reserve = {"type": "RESERVE", "reserve": {"resources": [resource]}}
    framework = {
        "user": "root",
        "name": "f",
        "roles": ["a"],
        "capabilities": [{"type": "MULTI_ROLE"}],
    }
    accept = {
        "offer_ids": [offer],
        "operations": [launch, reserve],
        "filters": {"refuse_seconds": 5.0},
    }
    calls: list[dict[str, Any]] = [
        {"type": "ACCEPT", "accept": accept},
        {"type": "DECLINE", "decline": {"offer_ids": [offer]}},
        {"type": "REVIVE", "revive": {"roles": ["*"]}},
        {"type": "SUPPRESS"},
        {"type": "KILL", "kill": {"task_id": {"value": "t"}}},
        {"type": "RECONCILE", "reconcile": {"tasks": [{"task_id": {"value": "t"}}]}},
        {
            "type": "ACKNOWLEDGE",
            "acknowledge": {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": "AAAA"},
        },
        {
            "type": "MESSAGE",
            "message": {"agent_id": {"value": "a"}, "executor_id": {"value": "e"}, "data": "AAAA"},
        },
        {"type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": framework}},
    ]
    subscribe = {"type": "SUBSCRIBE", "subscribe": {"framework_info": framework}}
    return [{**call, "framework_id": fid} for call in calls] + [subscribe]
