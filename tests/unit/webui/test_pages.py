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
    assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "no-referrer"
    assert "unsafe" not in headers["Content-Security-Policy"] and "Set-Cookie" not in headers
    assert FILES[path](get(path, "POST")).status == 405


def test_the_page_uses_its_own_files_only() -> None:
    """No script or style in the page, and none from elsewhere."""
    page = pages.index(get("/")).body.decode()
    for address in re.findall(r'(?:src|href)="([^"#][^"]*)"', page):
        assert address in FILES or address == "/state"
    imported = set()
    for path in FILES:
        if path.endswith(".js"):
            script = FILES[path](get(path)).body.decode()
            imported |= {f"/static/{name}" for name in re.findall(r'from "\./([^"]+)"', script)}
    assert imported == {path for path in FILES if path.endswith(".js")} - {"/static/state.js"}
    assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=", page)


@pytest.mark.parametrize("path", [path for path in FILES if path.endswith(".js")])
def test_the_scripts_never_write_markup(path: str) -> None:
    """A task's name is text wherever it is shown."""
    script = FILES[path](get(path)).body.decode()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in script
    assert "http:" not in script.replace('"http:"', "")
