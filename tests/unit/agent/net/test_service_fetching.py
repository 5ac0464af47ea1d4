"""Real tasks find the files they asked for, or hear in a sentence why not."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from service_world import World

from mesos_twisted.protocol.generated import messages as m


def archive() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        info = tarfile.TarInfo("inside")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"tar\n"))
    return made.getvalue()


FILES = {"/a.tgz": archive(), "/run": b"#!/bin/sh\necho ran\n", "/plain": b"plain\n"}


class Files(http.server.BaseHTTPRequestHandler):
    """Serves FILES, and counts."""

    asked: Counter[str] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        body = FILES.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def web() -> Iterator[str]:
    Files.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def uri(value: str, **more: Any) -> m.CommandInfoURI:
    return m.CommandInfoURI(value=value, **more)


def test_a_task_finds_what_it_asked_for(world: World, web: str) -> None:
    """Unpacked, made executable, and under the name it asked for."""
    words = "cat inside out/name && ./run && test ! -e plain"
    uris = (
        uri(f"{web}/a.tgz"),
        uri(f"{web}/run", executable=True),
        uri(f"{web}/plain", output_file="out/name", extract=False),
    )
    world.run("t", None, info=m.CommandInfo(value=words, uris=uris))
    status = world.await_state("t", "TASK_FINISHED")
    assert status.message == "Command exited with status 0"


def test_a_cached_file_is_served_once(world: World, web: str) -> None:
    """To tasks at once and to one after them."""
    command = m.CommandInfo(value="grep plain plain", uris=(uri(f"{web}/plain", cache=True),))
    for name in ("a", "b"):
        world.run(name, None, info=command)
    for name in ("a", "b"):
        world.await_state(name, "TASK_FINISHED")
    world.run("c", None, info=command)
    world.await_state("c", "TASK_FINISHED")
    assert Files.asked == {"/plain": 1}


def test_what_is_not_there_fails_the_task_in_a_sentence(world: World, web: str) -> None:
    """It names the container, the address and the answer."""
    world.run("t", None, info=m.CommandInfo(value="true", uris=(uri(f"{web}/none"),)))
    status = world.await_state("t", "TASK_FAILED")
    assert status.message is not None
    assert f"{web}/none" in status.message and "404" in status.message
