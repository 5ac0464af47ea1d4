"""A v1 call out of a request, and a v1 answer into a response: media types, codecs, refusals."""

from __future__ import annotations

from typing import TypeVar

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.protocol.media import Media, request_media, response_media
from mesos_twisted.security.net.http_auth import Challenge
from mesos_twisted.transport.messages import Request, Response, text_response

M = TypeVar("M", bound=Message)


def read_call(kind: type[M], request: Request) -> M | Response:
    """The call in the body, or the answer that refuses it."""
    if "content-type" not in request.headers:
        return text_response(400, "Expecting 'Content-Type' to be present")
    media = request_media(request.headers)
    if media is None or media.body is Media.RECORDIO:
        return text_response(
            415,
            f"Expecting 'Content-Type' of {Media.JSON.value} or {Media.PROTOBUF.value}",
        )
    try:
        if media.body is Media.JSON:
            return codec_json.decode(kind, request.body)
        return codec_protobuf.decode(kind, request.body)
    except MalformedError as error:
        if media.body is Media.PROTOBUF:
            return text_response(400, f"Failed to parse body into Call protobuf: {error}")
        return text_response(400, str(error))


def answer_media(request: Request) -> Media | Response:
    """The encoding of the answer, or a 406."""
    media = response_media(request.headers)
    if media is None:
        return text_response(
            406,
            f"Expecting 'Accept' to allow '{Media.PROTOBUF.value}' or '{Media.JSON.value}'",
        )
    return media


def encode(message: Message, media: Media) -> bytes:
    """The message in that encoding."""
    return codec_json.encode(message) if media is Media.JSON else codec_protobuf.encode(message)


def only_post(method: str) -> Response:
    """The 405 of an API endpoint."""
    return only("POST", method)


def only(allowed: str, method: str) -> Response:
    """The 405 of a path that takes one method, in Mesos's words."""
    return text_response(
        405,
        f"405 Method Not Allowed. Expecting one of {{ '{allowed}' }}, but received '{method}'.",
        (("Allow", allowed),),
    )


def challenged(challenge: Challenge) -> Response:
    """The answer to a request that proved nobody."""
    headers = [("WWW-Authenticate", scheme) for scheme in challenge.www_authenticate]
    if challenge.retry_after_s is not None:
        headers.append(("Retry-After", str(challenge.retry_after_s)))
    return text_response(challenge.status, challenge.reason + "\n", tuple(headers))
