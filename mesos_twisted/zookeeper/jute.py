"""ZooKeeper's records to bytes and back, for a client and for a server.

A message is a 4-byte length and that many bytes. The client's first is a ConnectRequest, the
server's first a ConnectResponse. Each later request is a number (xid), a type and a record; each
later answer a ReplyHeader and, when its error is OK, the record that the request's type calls for.
Answers come in the order of the requests; notifications come in between with xid -1. Source:
`zookeeper.jute` and `ZooDefs.OpCode` of Apache ZooKeeper, the same since 3.4. Pure; input that is
not of this form raises MalformedError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from mesos_twisted.errors import MalformedError
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper import wire
from mesos_twisted.zookeeper.wire import Reader

_HEADER = struct.Struct(">ii")
_REPLY = struct.Struct(">iqi")
_MULTI = struct.Struct(">i?i")
_MULTI_END = _MULTI.pack(-1, True, -1)

_EPHEMERAL: Final = 1
_SEQUENTIAL: Final = 2


# Requests.

_CREATE: Final = 1
_DELETE: Final = 2
_SET_DATA: Final = 5
_CHECK: Final = 13
_MULTI_TYPE: Final = 14
_CREATE2: Final = 15
_ERROR: Final = -1


def request_type(request: r.Request) -> int:
    """The number of the request on the wire."""
    match request:
        case r.Create(with_stat=True):
            return _CREATE2
        case r.GetChildren(with_stat=False):
            return 8
        case _:
            return _TYPES[type(request)]


_TYPES: Final[dict[type, int]] = {
    r.Create: _CREATE,
    r.Delete: _DELETE,
    r.Exists: 3,
    r.GetData: 4,
    r.SetData: _SET_DATA,
    r.GetAcl: 6,
    r.SetAcl: 7,
    r.Sync: 9,
    r.Ping: 11,
    r.GetChildren: 12,
    r.Check: _CHECK,
    r.Multi: _MULTI_TYPE,
    r.Auth: 100,
    r.SetWatches: 101,
    r.CloseSession: -11,
}


def _body(request: r.Request) -> bytes:
    match request:
        case r.Create(path, data, acl, ephemeral, sequential):
            flags = _EPHEMERAL * ephemeral + _SEQUENTIAL * sequential
            return wire.text(path) + wire.buffer(data) + wire.acl(acl) + wire.INT.pack(flags)
        case r.Delete(path, version) | r.Check(path, version):
            return wire.text(path) + wire.INT.pack(version)
        case r.Exists(path, watch) | r.GetData(path, watch) | r.GetChildren(path, watch):
            return wire.text(path) + (b"\1" if watch else b"\0")
        case r.SetData(path, data, version):
            return wire.text(path) + wire.buffer(data) + wire.INT.pack(version)
        case r.GetAcl(path) | r.Sync(path):
            return wire.text(path)
        case r.SetAcl(path, acl, version):
            return wire.text(path) + wire.acl(acl) + wire.INT.pack(version)
        case r.Multi(operations):
            parts = [
                _MULTI.pack(request_type(each), False, -1) + _body(each) for each in operations
            ]
            return b"".join(parts) + _MULTI_END
        case r.Auth(scheme, auth):
            return wire.INT.pack(0) + wire.text(scheme) + wire.buffer(auth)
        case r.SetWatches(zxid, data, exist, child):
            return wire.LONG.pack(zxid) + wire.texts(data) + wire.texts(exist) + wire.texts(child)
        case r.Ping() | r.CloseSession():
            return b""


def encode_connect(request: r.ConnectRequest) -> bytes:
    """The first message of a client."""
    return (
        struct.pack(">iqiq", 0, request.last_zxid_seen, request.timeout_ms, request.session_id)
        + wire.buffer(request.password)
        + (b"\1" if request.read_only else b"\0")
    )


def decode_connect(message: bytes) -> r.ConnectRequest:
    """The first message of a client; clients of 3.3 leave the last byte out."""
    reader = Reader(message)
    reader.number()
    zxid, timeout, session = reader.long_number(), reader.number(), reader.long_number()
    password = reader.buffer()
    return r.ConnectRequest(zxid, timeout, session, password, not reader.at_end and reader.flag())


def encode_request(xid: int, request: r.Request) -> bytes:
    """Any later message of a client."""
    return _HEADER.pack(xid, request_type(request)) + _body(request)


def decode_request(message: bytes) -> tuple[int, r.Request]:
    """(xid, request) of a client's message. Raises MalformedError for types not known here."""
    reader = Reader(message)
    xid, kind = reader.take(_HEADER)
    return xid, _request(reader, kind)


def _request(reader: Reader, kind: int) -> r.Request:
    decode = _REQUESTS.get(kind)
    if decode is None:
        raise MalformedError(f"A ZooKeeper request of type {kind} is not known")
    request: r.Request = decode(reader)
    return request


def _create(reader: Reader, with_stat: bool) -> r.Create:
    path, data, acl = reader.text(), reader.buffer(), reader.many(reader.acl)
    flags = reader.number()
    if flags & ~(_EPHEMERAL | _SEQUENTIAL):
        raise MalformedError(f"A ZooKeeper node with the flags {flags} is not known")
    return r.Create(path, data, acl, bool(flags & _EPHEMERAL), bool(flags & _SEQUENTIAL), with_stat)


def _auth(reader: Reader) -> r.Auth:
    reader.number()
    return r.Auth(reader.text(), reader.buffer())


def _set_watches(reader: Reader) -> r.SetWatches:
    text = reader.text
    return r.SetWatches(
        reader.long_number(), reader.many(text), reader.many(text), reader.many(text)
    )


def _multi(reader: Reader) -> r.Multi:
    operations: list[Any] = []
    while True:
        kind, done, _ = reader.take(_MULTI)
        if done:
            return r.Multi(tuple(operations))
        if kind not in (_CREATE, _CREATE2, _DELETE, _SET_DATA, _CHECK):
            raise MalformedError(f"A ZooKeeper transaction cannot hold a request of type {kind}")
        operations.append(_request(reader, kind))


_REQUESTS: Final[dict[int, Callable[[Reader], Any]]] = {
    _CREATE: lambda x: _create(x, False),
    _CREATE2: lambda x: _create(x, True),
    _DELETE: lambda x: r.Delete(x.text(), x.number()),
    3: lambda x: r.Exists(x.text(), x.flag()),
    4: lambda x: r.GetData(x.text(), x.flag()),
    _SET_DATA: lambda x: r.SetData(x.text(), x.buffer(), x.number()),
    6: lambda x: r.GetAcl(x.text()),
    7: lambda x: r.SetAcl(x.text(), x.many(x.acl), x.number()),
    8: lambda x: r.GetChildren(x.text(), x.flag(), False),
    9: lambda x: r.Sync(x.text()),
    11: lambda x: r.Ping(),
    12: lambda x: r.GetChildren(x.text(), x.flag(), True),
    _CHECK: lambda x: r.Check(x.text(), x.number()),
    _MULTI_TYPE: _multi,
    100: _auth,
    101: _set_watches,
    -11: lambda x: r.CloseSession(),
}


# Answers.


def encode_connected(response: r.ConnectResponse) -> bytes:
    """The first message of a server."""
    return (
        struct.pack(">iiq", 0, response.timeout_ms, response.session_id)
        + wire.buffer(response.password)
        + (b"\1" if response.read_only else b"\0")
    )


def decode_connected(message: bytes) -> r.ConnectResponse:
    """The first message of a server; one of 3.3 leaves the last byte out."""
    reader = Reader(message)
    reader.number()
    timeout, session, password = reader.number(), reader.long_number(), reader.buffer()
    return r.ConnectResponse(timeout, session, password, not reader.at_end and reader.flag())


def encode_reply(xid: int, zxid: int, error: int, reply: r.Reply | None = None) -> bytes:
    """An answer; without a record when `error` is not OK."""
    header = _REPLY.pack(xid, zxid, error)
    return header if reply is None or error else header + _reply(reply)


def encode_event(event: r.WatchEvent) -> bytes:
    """A notification."""
    header = _REPLY.pack(r.XID_NOTIFICATION, -1, 0)
    return header + wire.INT.pack(event.kind) + wire.INT.pack(event.state) + wire.text(event.path)


def _reply(reply: r.Reply) -> bytes:
    match reply:
        case r.Done():
            return b""
        case r.Created(path, stat):
            return wire.text(path) + (wire.stat(stat) if stat else b"")
        case r.Stated(stat):
            return wire.stat(stat)
        case r.Data(data, stat):
            return wire.buffer(data) + wire.stat(stat)
        case r.Acls(acl, stat):
            return wire.acl(acl) + wire.stat(stat)
        case r.Children(children, maybe):
            return wire.texts(children) + (wire.stat(maybe) if maybe else b"")
        case r.Synced(path):
            return wire.text(path)
        case r.MultiReply(results):
            return b"".join(map(_result, results)) + _MULTI_END


def _result(result: r.Done | r.Created | r.Stated | r.Failed) -> bytes:
    match result:
        case r.Failed(error):
            return _MULTI.pack(_ERROR, False, error) + wire.INT.pack(error)
        case r.Created(_, None):
            return _MULTI.pack(_CREATE, False, 0) + _reply(result)
        case r.Created():
            return _MULTI.pack(_CREATE2, False, 0) + _reply(result)
        case r.Stated():
            return _MULTI.pack(_SET_DATA, False, 0) + _reply(result)
        case r.Done():
            # A Check's result looks the same but for its type, which no client needs.
            return _MULTI.pack(_DELETE, False, 0)


def decode_header(message: bytes) -> r.ReplyHeader:
    """How an answer or a notification begins."""
    return r.ReplyHeader(*Reader(message).take(_REPLY))


def decode_event(message: bytes) -> r.WatchEvent:
    """The notification in a message whose header says XID_NOTIFICATION."""
    reader = Reader(message, _REPLY.size)
    kind, state, path = reader.number(), reader.number(), reader.text()
    try:
        return r.WatchEvent(r.EventKind(kind), path, state)
    except ValueError:
        raise MalformedError(f"A ZooKeeper watch event of type {kind} is not known") from None


def decode_reply(message: bytes, request: r.Request) -> r.Reply:
    """The answer to `request` in a message whose header says OK."""
    reader = Reader(message, _REPLY.size)
    match request:
        case r.GetData():
            return r.Data(reader.buffer(), reader.stat())
        case r.Create(with_stat=with_stat):
            return r.Created(reader.text(), reader.stat() if with_stat else None)
        case r.Exists() | r.SetData() | r.SetAcl():
            return r.Stated(reader.stat())
        case r.GetChildren(with_stat=with_stat):
            names = reader.many(reader.text)
            return r.Children(names, reader.stat() if with_stat else None)
        case r.Sync():
            return r.Synced(reader.text())
        case r.GetAcl():
            return r.Acls(reader.many(reader.acl), reader.stat())
        case r.Multi():
            return r.MultiReply(_results(reader))
        case _:
            return r.Done()


def _results(reader: Reader) -> tuple[Any, ...]:
    results: list[r.Done | r.Created | r.Stated | r.Failed] = []
    while True:
        kind, done, _ = reader.take(_MULTI)
        if done:
            return tuple(results)
        match kind:
            case -1:
                results.append(r.Failed(reader.number()))
            case 1:
                results.append(r.Created(reader.text()))
            case 15:
                results.append(r.Created(reader.text(), reader.stat()))
            case 5:
                results.append(r.Stated(reader.stat()))
            case 2 | 13:
                results.append(r.Done())
            case _:
                raise MalformedError(f"A ZooKeeper result of type {kind} is not known")
