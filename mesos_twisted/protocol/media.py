"""Which encoding a request's body has, and which one its answer should have.

Pure: headers in (names in lower case), a `Media` out. `None` means that nothing fits, which the
caller answers with 415 (request) or 406 (answer).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


class Media(enum.Enum):
    """The encodings of the v1 APIs; the value is the media type's name."""

    JSON = "application/json"
    PROTOBUF = "application/x-protobuf"
    RECORDIO = "application/recordio"


MESSAGES = (Media.JSON, Media.PROTOBUF)
_BY_NAME = {media.value: media for media in Media}


@dataclass(frozen=True, slots=True)
class RequestMedia:
    """`body` is the body's own encoding; `message` that of one message in it.

    Both are the same unless the body is a sequence of records.
    """

    body: Media
    message: Media


_PLAIN = {media.value: RequestMedia(media, media) for media in MESSAGES}


def media_of(content_type: str) -> Media | None:
    """The encoding a Content-Type names; parameters such as `;charset=utf-8` are ignored."""
    return _BY_NAME.get(content_type.partition(";")[0].strip().lower())


def request_media(headers: Mapping[str, str]) -> RequestMedia | None:
    """How to read the body, from Content-Type (and Message-Content-Type under RecordIO)."""
    content_type = headers.get("content-type", "")
    plain = _PLAIN.get(content_type)
    if plain is not None:
        return plain
    body = media_of(content_type)
    if body is None:
        return None
    if body is not Media.RECORDIO:
        return _PLAIN[body.value]
    message = media_of(headers.get("message-content-type", ""))
    if message is None or message is Media.RECORDIO:
        return None
    return RequestMedia(body, message)


def response_media(
    headers: Mapping[str, str], offered: tuple[Media, ...] = MESSAGES
) -> Media | None:
    """The best of `offered` by the Accept header; no Accept means the first offered.

    Between equals the earlier offered wins, as in Mesos (JSON before protobuf).
    """
    accept = headers.get("accept")
    if accept is None or accept == "*/*":
        return offered[0]
    return _choose(accept, offered)


def message_media(headers: Mapping[str, str]) -> Media | None:
    """The encoding of each record of a RecordIO answer, by the Message-Accept header."""
    accept = headers.get("message-accept")
    return MESSAGES[0] if accept is None else _choose(accept, MESSAGES)


@lru_cache(maxsize=256)
def _choose(accept: str, offered: tuple[Media, ...]) -> Media | None:
    ranges = _parse_accept(accept)
    best, best_quality = None, 0.0
    for media in offered:
        quality = _quality(media.value, ranges)
        if quality > best_quality:
            best, best_quality = media, quality
    return best


def _quality(name: str, ranges: dict[str, float]) -> float:
    """The most specific range decides (RFC 9110, section 12.5.1)."""
    for candidate in (name, name.partition("/")[0] + "/*", "*/*"):
        quality = ranges.get(candidate)
        if quality is not None:
            return quality
    return 0.0


def _parse_accept(accept: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if not name:
            continue
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = _weight(value.strip())
        ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
