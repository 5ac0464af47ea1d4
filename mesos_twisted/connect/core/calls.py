"""Calls of a scheduler that belong to one stream of events, and how many requests may wait.

A master takes a scheduler's calls only on the stream it subscribed with. When the leader is gone
its streams are, and no other master will ever take a call on them.
"""

from __future__ import annotations

from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.transport.messages import Headers

_PATH = "/api/v1/scheduler"
#: Streams that are remembered to be gone.
_MAX_GONE = 1000


def stream_of(method: str, target: str, headers: Headers, body: bytes) -> str | None:
    """The id of the stream a scheduler's call belongs to; None for any other request.

    TEARDOWN counts as any other: a framework that ends will not come back to ask what became of it.
    """
    if method != "POST" or not target.partition("?")[0].rstrip("/").endswith(_PATH):
        return None
    named = {name.lower(): value for name, value in headers}
    stream_id = named.get("mesos-stream-id")
    if stream_id is None:
        return None
    decode = codec_json.decode
    if "protobuf" in named.get("content-type", ""):
        decode = codec_protobuf.decode
    try:
        kind = decode(m.SchedulerCall, body).type
    except MalformedError:
        return None
    return None if kind is m.SchedulerCallType.TEARDOWN else stream_id


class GoneStreams:
    """Ids of streams that ended without their client's doing, the newest of them."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def add(self, stream_id: str | None) -> None:
        """This one is gone; None is none."""
        if stream_id:
            self._ids[stream_id] = None
            if len(self._ids) > _MAX_GONE:
                del self._ids[next(iter(self._ids))]

    def __contains__(self, stream_id: str | None) -> bool:
        return stream_id in self._ids


class Waiting:
    """How many requests, and how many bytes of them, wait for a master that leads."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._limits = (max_requests, max_bytes)
        self.requests = 0
        self.bytes = 0

    def enter(self, size: int) -> None:
        """One more waits. Raises UnavailableError when that is too many or too much."""
        requests, held = self._limits
        if self.requests >= requests or self.bytes + size > held:
            raise UnavailableError(
                f"no master leads, and {self.requests} requests with {self.bytes} bytes wait for"
                f" one already; this connector holds {requests} requests and {held} bytes"
            )
        self.requests += 1
        self.bytes += size

    def leave(self, size: int) -> None:
        """It waits no more."""
        self.requests -= 1
        self.bytes -= size
