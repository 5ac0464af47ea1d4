"""Sandboxes are filled by processes of the task's user; the cache downloads a file once."""

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mesos_twisted.agent.net.fetcher import Fetcher
from mesos_twisted.agent.net.fetcher_cache import FetchCache
from mesos_twisted.agent.net.users import User
from mesos_twisted.clock import Timers
from mesos_twisted.protocol.generated import messages as m


class FakeProcess:
    """A started process that ends when the test says so."""

    def __init__(self, protocol: Any, args: tuple[Any, ...], env: dict[str, str]) -> None:
        self.protocol, self.args, self.env = protocol, args, env
        self.stdin = b""
        self.signals: list[str] = []

    def write(self, data: bytes) -> None:
        self.stdin += data

    def closeStdin(self) -> None:
        """Its job is complete."""

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)
        self.end({"bytes": 0})

    @property
    def job(self) -> dict[str, Any]:
        return json.loads(self.stdin)  # type: ignore[no-any-return]  # JSON is untyped

    def end(self, told: dict[str, Any] | None, err: bytes = b"") -> None:
        if told is not None:
            self.protocol.outReceived(json.dumps(told).encode() + b"\n")
        self.protocol.errReceived(err)
        self.protocol.processEnded(Failure(ProcessDone(None)))  # type: ignore[no-untyped-call]


class FakeReactor:
    """Starts nothing."""

    def __init__(self) -> None:
        self.started: list[FakeProcess] = []

    def spawnProcess(
        self, protocol: Any, executable: str, args: Any = (), env: Any = None, path: Any = None
    ) -> FakeProcess:
        process = FakeProcess(protocol, (executable, *args, path), dict(env or {}))
        self.started.append(process)
        protocol.makeConnection(process)
        return process


class World:
    """A fetcher whose processes are the test's."""

    def __init__(self, directory: Path, size: int = 100) -> None:
        self.reactor, self.clock = FakeReactor(), Clock()
        self.counts: list[str] = []
        self.cache = FetchCache(str(directory / "fetch"), size)
        self.fetcher = Fetcher(
            self.reactor,  # type: ignore[arg-type]  # only spawnProcess is used
            Timers(self.clock),
            self.cache,
            60.0,
            lambda name, amount: self.counts.append(name.rpartition("/")[2]),
        )
        self.fetcher.start()

    def fetch(
        self, *uris: m.CommandInfoURI, container: str = "c", user: User | None = None
    ) -> list[Any]:
        """Begin; the list gets the outcome."""
        out: list[Any] = []
        work = self.fetcher.fetch(container, "/box", m.CommandInfo(uris=uris), user)
        Deferred.fromCoroutine(work).addBoth(out.append)
        return out


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def uri(value: str, **more: Any) -> m.CommandInfoURI:
    return m.CommandInfoURI(value=value, **more)


def test_nothing_to_fetch_starts_nothing(world: World) -> None:
    """Most tasks."""
    assert world.fetch() == [None]
    assert not world.reactor.started and not world.counts


def test_a_job_holds_every_uri_and_the_user(world: World) -> None:
    """One process, isolated, with next to no environment."""
    out = world.fetch(
        uri("http://h/a.tgz"),
        uri("http://h/b", executable=True, output_file="c", extract=False),
        user=User("nobody", 65534, 65533, (1, 2), True),
    )
    (process,) = world.reactor.started
    assert process.args[1:4] == (process.args[0], "-I", "-B")
    assert "MESOS" not in " ".join(process.env)
    job = process.job
    assert (job["uid"], job["gid"], job["groups"]) == (65534, 65533, [1, 2])
    assert [item["uri"] for item in job["items"]] == ["http://h/a.tgz", "http://h/b"]
    assert job["items"][0]["extract"] and job["items"][1]["output_file"] == "c"
    process.end({"bytes": 5})
    assert out == [None] and world.counts == ["task_fetches_succeeded"]
    assert not world.clock.getDelayedCalls()


def test_a_failure_names_container_uri_and_reason(world: World) -> None:
    """In Mesos's words."""
    out = world.fetch(uri("http://h/a"))
    world.reactor.started[0].end({"uri": "http://h/a", "error": "the server answered 404"})
    assert out == [
        "Failed to fetch all URIs for container 'c': 'http://h/a': the server answered 404"
    ]
    assert world.counts == ["task_fetches_failed"]


def test_a_process_that_dies_is_a_failure(world: World) -> None:
    """Its last line is told."""
    out = world.fetch(uri("http://h/a"))
    world.reactor.started[0].end(None, b"Traceback\nMemoryError\n")
    assert "MemoryError" in out[0]


def test_destroying_the_container_ends_its_fetching(world: World) -> None:
    """And nobody else's."""
    out, other = world.fetch(uri("http://h/a")), world.fetch(uri("http://h/a"), container="d")
    world.fetcher.cancel("c")
    assert world.reactor.started[0].signals == ["KILL"] and not world.reactor.started[1].signals
    assert "destroyed while fetching" in out[0] and not other


def test_a_fetch_of_more_than_an_hour_is_killed(world: World) -> None:
    """A process that does not stop by itself is stopped."""
    out = world.fetch(uri("http://h/a"))
    world.clock.advance(3700)
    assert "longer than an hour" in out[0]


def test_a_cached_uri_is_downloaded_once(world: World) -> None:
    """Two tasks at the same time share the download; a third later as well."""
    one, two = (
        world.fetch(uri("http://h/a", cache=True)),
        world.fetch(uri("http://h/a", cache=True)),
    )
    (download,) = world.reactor.started
    (item,) = download.job["items"]
    assert item["raw"] and download.job["directory"].endswith("/fetch/-")
    download.end({"bytes": 40})
    copies = world.reactor.started[1:]
    assert [c.job["items"][0]["cached"] for c in copies] == [f"{world.cache.directory}/-/c1"] * 2
    for copy in copies:
        copy.end({"bytes": 40})
    assert one == two == [None]
    three = world.fetch(uri("http://h/a", cache=True))
    world.reactor.started[-1].end({"bytes": 40})
    assert three == [None] and len(world.reactor.started) == 4 and world.cache.used_bytes == 40


def test_a_failed_download_is_tried_again_by_the_next(world: World) -> None:
    """Everybody who waited hears of the failure."""
    one, two = (
        world.fetch(uri("http://h/a", cache=True)),
        world.fetch(uri("http://h/a", cache=True)),
    )
    world.reactor.started[0].end({"uri": "http://h/a", "error": "refused"})
    assert "refused" in one[0] and "refused" in two[0]
    world.fetch(uri("http://h/a", cache=True))
    assert len(world.reactor.started) == 2 and world.reactor.started[1].job["items"][0]["raw"]


def test_users_do_not_share_cached_files(world: World) -> None:
    """What one may read the other may not."""
    for name in ("a", "b"):
        world.fetch(uri("http://h/x", cache=True), user=User(name, 1, 1, (), False))
    assert len(world.reactor.started) == 2


def test_the_longest_unused_goes_when_the_cache_is_full(world: World) -> None:
    """Never one in use; its file is deleted with it."""
    for name in ("a", "b"):
        world.fetch(uri(f"http://h/{name}", cache=True))
        world.reactor.started[-1].end({"bytes": 45})
        world.reactor.started[-1].end({"bytes": 45})
    first = Path(world.cache.directory, "-", "c1")
    first.write_text("x")
    held = world.fetch(uri("http://h/b", cache=True))
    world.fetch(uri("http://h/c", cache=True))
    world.reactor.started[-1].end({"bytes": 60})
    assert not first.exists()
    assert world.cache.used_bytes == 105 and not held
    world.reactor.started[4].end({"bytes": 45})
    assert held == [None] and world.cache.used_bytes == 60 and len(world.cache) == 1


def test_a_start_empties_the_cache(world: World) -> None:
    """Nobody knows any more what the files are."""
    left = Path(world.cache.directory, "u", "c9")
    left.parent.mkdir()
    left.write_text("x")
    world.fetcher.start()
    assert list(Path(world.cache.directory).iterdir()) == []
