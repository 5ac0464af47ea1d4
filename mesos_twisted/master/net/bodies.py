"""A v1 call out of a request's body."""

from __future__ import annotations

from typing import TypeVar

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import codec_json, codec_protobuf, media
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.protocol.media import Media
from mesos_twisted.transport.messages import Request, Response, text_response

M = TypeVar("M", bound=Message)


def decode_body(kind: type[M], request: Request) -> M | Response:
    """The call, or the 400 or 415 that refuses it."""
    content_type = request.headers.get("content-type")
    if content_type is None:
        return text_response(400, "Expecting 'Content-Type' to be present")
    found = media.media_of(content_type)
    try:
        if found is Media.JSON:
            return codec_json.decode(kind, request.body)
        if found is Media.PROTOBUF:
            return codec_protobuf.decode(kind, request.body)
    except MalformedError as error:
        if found is Media.PROTOBUF:
            return text_response(400, f"Failed to parse body into Call protobuf: {error}")
        return text_response(400, str(error))
    return text_response(
        415, "Expecting 'Content-Type' of application/json or application/x-protobuf"
    )
