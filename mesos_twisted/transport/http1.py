"""HTTP/1.1 as the rest of the package sees it: the server, its values and its limits."""

from mesos_twisted.transport.http1_connection import Handler, HttpConnection
from mesos_twisted.transport.http1_server import HttpServer
from mesos_twisted.transport.messages import (
    ChunkedBody,
    HttpLimits,
    Peer,
    Request,
    Response,
    Result,
    StreamResponse,
    text_response,
)
from mesos_twisted.transport.stream import StreamWriter

__all__ = [
    "ChunkedBody",
    "Handler",
    "HttpConnection",
    "HttpLimits",
    "HttpServer",
    "Peer",
    "Request",
    "Response",
    "Result",
    "StreamResponse",
    "StreamWriter",
    "text_response",
]
