"""What is fetched, from where, and what is refused before a byte comes."""

import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.agent.net import fetch_main
from mesos_twisted.agent.net.fetch_main import Item, Job, name_of, run
from mesos_twisted.errors import RefusedError


def outcome(tmp_path: Path, *items: Item, **limits: float) -> dict[str, object]:
    """Run a job in this process, as this user."""
    (tmp_path / "box").mkdir(exist_ok=True)
    return run(Job(str(tmp_path / "box"), items, **limits))  # type: ignore[arg-type]  # limits vary


@pytest.fixture
def web() -> Iterator[str]:
    """A small server on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/file.txt?x=1")
            elif self.path == "/loop":
                self.send_response(302)
                self.send_header("Location", "/loop")
            elif self.path == "/to-file":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
            elif self.path == "/to-metadata":
                self.send_response(302)
                self.send_header("Location", "http://169.254.169.254/latest")
            elif self.path == "/short":
                self.send_response(200)
                self.send_header("Content-Length", "100")
            else:
                self.send_response(200 if self.path.startswith("/file.txt") else 404)
            self.end_headers()
            self.wfile.write(b"content")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_local_file_is_copied(tmp_path: Path) -> None:
    """By file:// or by path, executable when asked, under another name when asked."""
    (tmp_path / "tool").write_text("x")
    uri = f"file://{tmp_path}/tool"
    done = outcome(
        tmp_path,
        Item(uri, executable=True),
        Item(f"{tmp_path}/tool", output_file="sub/other"),
    )
    assert done == {"bytes": 2}
    assert os.access(tmp_path / "box" / "tool", os.X_OK)
    assert (tmp_path / "box" / "sub" / "other").read_text() == "x"


def test_http_is_followed_to_the_content(tmp_path: Path, web: str) -> None:
    """Named by the URI asked for, not by where it moved."""
    assert outcome(tmp_path, Item(f"{web}/moved", output_file="f")) == {"bytes": 7}
    assert (tmp_path / "box" / "f").read_text() == "content"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/none", "answered 404"),
        ("/loop", "redirects more than"),
        ("/to-file", "redirects to the scheme 'file'"),
        ("/to-metadata", "link-local"),
        ("/short", "of 100 bytes"),
    ],
)
def test_a_web_failure_says_why(tmp_path: Path, web: str, path: str, words: str) -> None:
    """And names the URI of the task, not the one it was sent to."""
    told = outcome(tmp_path, Item(web + path))
    assert told["uri"] == web + path
    assert words in str(told["error"])


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://169.254.169.254/latest/meta-data", "link-local"),
        ("http://[fe80::1]/x", "link-local"),
        ("http://[::ffff:169.254.169.254]/x", "link-local"),
        ("http://2852039166/x", "link-local"),
        ("ftp://host/x", "scheme 'ftp' is not supported"),
        ("gopher://127.0.0.1/x", "not supported"),
        ("relative/path", "is relative"),
        ("file://relative", "absolute path"),
        ("/dev/zero", "not a regular file"),
        ("/nonexistent/x", "no such file"),
        ("http:///x", "names no host"),
    ],
)
def test_what_may_not_be_fetched(tmp_path: Path, uri: str, words: str) -> None:
    """Each with its reason."""
    assert words in str(outcome(tmp_path, Item(uri, output_file="f"))["error"])


@pytest.mark.parametrize("name", ["../escape", "/abs", "a/../../escape"])
def test_output_file_stays_in_the_sandbox(tmp_path: Path, name: str) -> None:
    """Whatever the framework says."""
    (tmp_path / "src").write_text("x")
    told = outcome(tmp_path, Item(f"{tmp_path}/src", output_file=name))
    assert "error" in told
    assert not (tmp_path / "escape").exists()


def test_too_large_and_too_long_are_stopped(tmp_path: Path, web: str) -> None:
    """By the size limit, and by the time limit."""
    assert "larger than" in str(outcome(tmp_path, Item(f"{web}/file.txt"), max_bytes=3)["error"])
    told = outcome(tmp_path, Item(f"{web}/file.txt"), total_s=-1.0)
    assert "too long" in str(told["error"])


def test_a_name_comes_from_the_path_of_the_uri() -> None:
    """Without query, with escapes resolved."""
    assert name_of(Item("https://h/a/b%20c.txt?x=/y")) == "b c.txt"
    assert name_of(Item("/x/y.tar")) == "y.tar"
    assert name_of(Item("http://h/x", output_file="z")) == "z"


def test_an_address_is_checked_before_it_is_connected_to() -> None:
    """The one that was checked is the one that is used, so a name cannot change its mind."""
    with pytest.raises(RefusedError):
        fetch_main.checked_address("169.254.1.1", 80)
    assert fetch_main.checked_address("127.0.0.1", 80)[0] == "127.0.0.1"


def test_the_process_can_be_started_alone(tmp_path: Path) -> None:
    """As the agent starts it: isolated, by path, with its job on standard input."""
    import json
    import subprocess
    import sys
    from dataclasses import asdict

    (tmp_path / "src").write_text("x")
    job = Job(str(tmp_path), (Item(f"{tmp_path}/src", output_file="dst"),))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-I", "-B", fetch_main.__file__],
        input=json.dumps(asdict(job)).encode(),
        capture_output=True,
        cwd="/",
        env={},
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout) == {"bytes": 1}, done.stderr
    assert time.monotonic() - began < 60
    assert (tmp_path / "dst").read_text() == "x"
