"""The files pages answer as Mesos's do, and let nobody see what is not theirs."""

import json
from pathlib import Path

import pytest

from mesos_twisted.files.http import FilesApi
from mesos_twisted.files.listing import READ_CAP_BYTES
from mesos_twisted.files.store import FileStore, Root
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import Authorizer, ObjectRef, OwnThings
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.transport.messages import ChunkedBody, Peer, Request, Response

OPERATOR = Principal("op", Role.OPERATOR)


@pytest.fixture
def api(tmp_path: Path) -> FilesApi:
    """A sandbox of principal `p` under /box."""
    (tmp_path / "out").write_bytes(b"out\n")
    (tmp_path / "sub").mkdir()
    store = FileStore(Authorizer(OwnThings()))
    owner = ObjectRef(principal="p", user="u")
    store.attach("/box", Root(str(tmp_path), Action.ACCESS_SANDBOX, owner))
    return FilesApi(store)


def get(api: FilesApi, page: str, query: str, who: Principal = OPERATOR) -> Response:
    """The answer to a GET."""
    path = f"/files/{page}"
    request = Request("GET", path, path.encode(), query, {}, b"", Peer("127.0.0.1", 1))
    answer = api.handle(page, request, who)
    if isinstance(answer, ChunkedBody):
        return Response(answer.status, b"".join(answer.pieces), None, answer.headers)
    return answer


def test_browse_lists_names_in_order(api: FilesApi) -> None:
    """One row an entry, with the keys Mesos has."""
    rows = json.loads(get(api, "browse", "path=/box").body)
    assert [row["path"] for row in rows] == ["/box/out", "/box/sub"]
    assert set(rows[0]) == {"gid", "mode", "mtime", "nlink", "path", "size", "uid"}
    assert rows[0]["mode"] == "-rw-r--r--" and rows[1]["mode"].startswith("d")
    assert rows[0]["size"] == 4


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("offset=0", {"data": "out\n", "offset": 0}),
        ("offset=1&length=2", {"data": "ut", "offset": 1}),
        ("offset=-1", {"data": "", "offset": 4}),
        ("", {"data": "", "offset": 4}),
        ("offset=99999", {"data": "", "offset": 99999}),
        ("offset=0&length=-1", {"data": "out\n", "offset": 0}),
    ],
)
def test_read_answers_as_the_pager_needs(
    api: FilesApi, query: str, wanted: dict[str, object]
) -> None:
    """Size for -1, nothing past the end."""
    assert json.loads(get(api, "read", f"path=/box/out&{query}").body) == wanted


def test_read_is_capped_at_sixteen_pages(api: FilesApi, tmp_path: Path) -> None:
    """However much is asked for."""
    (tmp_path / "big").write_bytes(b"x" * (READ_CAP_BYTES + 5))
    body = get(api, "read", "path=/box/big&offset=0&length=10000000").body
    assert len(json.loads(body)["data"]) == READ_CAP_BYTES


@pytest.mark.parametrize(
    ("page", "query", "status", "words"),
    [
        ("browse", "", 400, "Expecting 'path=value' in query."),
        ("read", "path=/box/none", 404, "No such file"),
        ("read", "path=/elsewhere", 404, "No such file"),
        ("read", "path=/box/sub", 400, "Cannot read a directory."),
        ("read", "path=/box/../etc/passwd", 400, "'..'"),
        ("read", "path=/box/out&offset=x", 400, "Failed to parse offset"),
        ("read", "path=/box/out&offset=-2", 400, "Negative offset provided: -2."),
        ("read", "path=/box/out&length=-2", 400, "Negative length provided: -2."),
        ("download", "path=/box/sub", 400, "Cannot read a directory."),
    ],
)
def test_refusals_say_why(api: FilesApi, page: str, query: str, status: int, words: str) -> None:
    """One sentence each."""
    answer = get(api, page, query)
    assert answer.status == status
    assert words in answer.body.decode()


@pytest.mark.parametrize("page", ["browse", "read", "download"])
def test_another_frameworks_sandbox_is_forbidden(api: FilesApi, page: str) -> None:
    """The owner may, another framework may not."""
    stranger = Principal("q", Role.FRAMEWORK)
    path = "/box" if page == "browse" else "/box/out"
    assert get(api, page, f"path={path}", stranger).status == 403
    assert get(api, page, f"path={path}", Principal("p", Role.FRAMEWORK)).status == 200


def test_a_download_is_never_shown_by_a_browser(api: FilesApi, tmp_path: Path) -> None:
    """Attachment, no sniffing, no scripts; the name is cleaned."""
    (tmp_path / 'a"b\n.html').write_text("<script>")
    answer = get(api, "download", "path=/box/a%22b%0A.html")
    headers = dict(answer.headers)
    assert answer.body == b"<script>"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["Content-Disposition"].startswith('attachment; filename="a_b_.html"')
    assert "\n" not in headers["Content-Disposition"]


def test_a_fifo_is_not_waited_for(api: FilesApi, tmp_path: Path) -> None:
    """Reading what is no file is refused at once."""
    import os

    os.mkfifo(tmp_path / "pipe")
    assert get(api, "read", "path=/box/pipe&offset=0").status == 400


def test_jsonp_takes_a_function_name_only(api: FilesApi) -> None:
    """Anything else could be a script."""
    good = get(api, "read", "path=/box/out&offset=0&jsonp=jQuery1.cb")
    assert good.body == b'jQuery1.cb({"data":"out\\n","offset":0})'
    assert get(api, "read", "path=/box/out&jsonp=alert(1)//").status == 400


def test_bytes_that_are_not_text_are_replaced(api: FilesApi, tmp_path: Path) -> None:
    """The answer stays ASCII JSON."""
    (tmp_path / "raw").write_bytes(b"\xff\xc3\xa9")
    body = get(api, "read", "path=/box/raw&offset=0").body
    assert body.isascii() and json.loads(body)["data"] == "\ufffdé"
