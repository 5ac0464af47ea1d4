"""The encoding of requests and answers follows Content-Type and Accept."""

import pytest

from mesos_twisted.protocol.media import (
    Media,
    RequestMedia,
    message_media,
    request_media,
    response_media,
)

JSON, PROTOBUF, RECORDIO = Media.JSON, Media.PROTOBUF, Media.RECORDIO


@pytest.mark.parametrize(
    ("content_type", "media"),
    [
        ("application/json", JSON),
        ("application/json;charset=utf-8", JSON),
        ("Application/JSON; charset=UTF-8", JSON),
        ("application/x-protobuf", PROTOBUF),
        ("text/plain", None),
        ("", None),
        ("application/jsonx", None),
    ],
)
def test_a_request_is_read_by_its_content_type(content_type, media):
    expected = None if media is None else RequestMedia(media, media)
    assert request_media({"content-type": content_type}) == expected


def test_records_need_the_encoding_of_their_messages():
    headers = {"content-type": "application/recordio"}
    assert request_media(headers) is None
    headers["message-content-type"] = "application/json"
    assert request_media(headers) == RequestMedia(RECORDIO, JSON)
    headers["message-content-type"] = "application/recordio"
    assert request_media(headers) is None


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/x-protobuf", PROTOBUF),
        ("application/x-protobuf, application/json", JSON),
        ("application/x-protobuf, application/json;q=0.5", PROTOBUF),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("application/json;q=0, */*", PROTOBUF),
        ("application/json;q=nan", None),
        ("text/html", None),
        ("", None),
    ],
)
def test_an_answer_has_the_best_accepted_encoding(accept, media):
    headers = {} if accept is None else {"accept": accept}
    assert response_media(headers) is media


def test_records_are_chosen_only_where_they_are_offered():
    assert response_media({"accept": "application/recordio"}) is None
    assert response_media({"accept": "application/recordio"}, (JSON, RECORDIO)) is RECORDIO
    assert message_media({"message-accept": "application/x-protobuf"}) is PROTOBUF
    assert message_media({}) is JSON
