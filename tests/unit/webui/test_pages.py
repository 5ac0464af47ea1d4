"""The state page: static, self-contained, and under a policy that runs nothing strange."""

import re

import pytest

from mesos_twisted.transport.messages import Peer, Request
from mesos_twisted.webui import pages


def get(path: str, method: str = "GET") -> Request:
    """A request without any proof of identity."""
    return Request(method, path, path.encode(), "", {}, b"", Peer("127.0.0.1", 1))


FILES = {"/": pages.index, **pages.routes()}


@pytest.mark.parametrize("path", list(FILES))
def test_files_are_served(path: str) -> None:
    """Each has its type and the policy; nothing but GET is answered."""
    answer = FILES[path](get(path))
    headers = dict(answer.headers)
    assert answer.status == 200 and answer.body
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert FILES[path](get(path, "POST")).status == 405


def test_the_page_uses_its_own_files_only() -> None:
    """No script or style in the page, and none from elsewhere."""
    page = pages.index(get("/")).body.decode()
    for address in re.findall(r'(?:src|href)="([^"#][^"]*)"', page):
        assert address in FILES
    assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=", page)


def test_the_script_never_writes_markup() -> None:
    """A task's name is text wherever it is shown."""
    script = FILES["/static/state.js"](get("/static/state.js")).body.decode()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in script
