"""The fetching process: reads what to fetch on its standard input, becomes the task's user, works.

    in   one JSON document, see `Job`
    out  one JSON line: {"bytes": N} or {"uri": "...", "error": "..."}

Nothing is run through a shell. Every module is loaded before the change of user, who may not be
able to read the program. Addresses are looked up once, checked, and connected to as checked.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Started isolated, by path: neither the task's environment nor its directory is searched.
    sys.path.insert(0, __file__.rsplit("/", 4)[0])

import encodings.idna
import http.client
import ipaddress
import json
import os
import resource
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from mesos_twisted.agent.net import fetch_archive
from mesos_twisted.agent.net.fetch_archive import PIECE_BYTES, Target
from mesos_twisted.errors import MalformedError, MesosError, RefusedError, UnavailableError
from mesos_twisted.files import walk

MAX_REDIRECTS = 10
_IDNA = encodings.idna  # loaded for host names, see above


@dataclass(frozen=True, slots=True)
class Item:
    """One URI, stored as `output_file` or by the last part of its path. `cached`: its content is in
    this file already. `raw`: store it just so, as a download into the cache is."""

    uri: str
    executable: bool = False
    extract: bool = True
    output_file: str | None = None
    cached: str | None = None
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """What to fetch into `directory`, as whom (None: as whoever runs this), and the limits."""

    directory: str
    items: tuple[Item, ...]
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    stall_s: float = 60.0
    total_s: float = 3600.0
    max_bytes: int = 64 << 30


def read_job(text: str) -> Job:
    """The job in a JSON document."""
    plain: dict[str, Any] = json.loads(text)
    plain["items"] = tuple(Item(**item) for item in plain["items"])
    plain["groups"] = tuple(plain.get("groups", ()))
    return Job(**plain)


def become(job: Job) -> None:
    """The process is the task's user for good, and may write no core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o022)
    if job.uid is not None and job.gid is not None:
        os.setgroups(job.groups)
        os.setresgid(job.gid, job.gid, job.gid)
        os.setresuid(job.uid, job.uid, job.uid)


def fetch(item: Item, job: Job, fd: int, deadline: float) -> int:
    """The item is in the directory `fd`; gives its bytes. Raises MesosError or OSError."""
    name = name_of(item)
    parts = fetch_archive.member_parts(name)
    if not parts:
        raise MalformedError("the URI names no file; set output_file")
    target = Target(fd, job.max_bytes)
    unpack = item.extract and not item.executable and not item.raw and is_archive(name)
    if item.cached is not None and unpack:
        size = os.path.getsize(item.cached)
    else:
        counted = _Counted(source(item, job.stall_s, deadline))
        target.file(parts, iter(counted), 0o755 if item.executable else 0o644)
        size = counted.size
    if unpack:
        with _open_archive(item, parts, fd) as stream:
            fetch_archive.extract(stream, name, Target(fd, job.max_bytes))
    return size


def is_archive(name: str) -> bool:
    """Is it unpacked unless told otherwise?"""
    return fetch_archive.is_archive(name)


def _open_archive(item: Item, parts: tuple[str, ...], fd: int) -> Any:
    if item.cached is not None:
        return open(item.cached, "rb")
    below = walk.open_beneath(fd, parts)
    return open(below, "rb")


def name_of(item: Item) -> str:
    """The path in the sandbox: `output_file`, or the last part of the URI's path."""
    if item.output_file is not None:
        return item.output_file
    split = urlsplit(item.uri)
    path = unquote(split.path) if split.scheme in ("http", "https") else item.uri
    return path.rstrip("/").rpartition("/")[2]


class _Counted:
    """Passes pieces on and counts their bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def source(item: Item, stall_s: float, deadline: float) -> Iterator[bytes]:
    """The item's bytes, whatever its scheme. Raises MesosError."""
    if item.cached is not None:
        return _local(item.cached)
    scheme = urlsplit(item.uri).scheme.lower()
    if scheme in ("http", "https"):
        return _web(item.uri, stall_s, deadline)
    if scheme == "file":
        path = item.uri[len("file://") :]
        # file://localhost/path is the same as file:///path.
        return _local(path.removeprefix("localhost"))
    if item.uri.startswith("/"):
        return _local(item.uri)
    if not scheme:
        raise MalformedError("it is relative; write an absolute path or a URL")
    raise MalformedError(f"the scheme '{scheme}' is not supported; use http, https or file")


def _local(path: str) -> Iterator[bytes]:
    if not path.startswith("/"):
        raise MalformedError("a file:// URI needs an absolute path")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(fd, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise RefusedError("it is not a regular file")
        while piece := stream.read(PIECE_BYTES):
            yield piece


def checked_address(host: str, port: int) -> tuple[Any, ...]:
    """Where to connect. Raises RefusedError when the name leads to a link-local address."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_link_local or ip.is_multicast:
            raise RefusedError(f"'{host}' is the link-local or multicast address {ip}, not allowed")
    return tuple(found[0][4])


def _connect(scheme: str, host: str, port: int, stall_s: float) -> http.client.HTTPConnection:
    address = checked_address(host, port)
    plain = socket.create_connection((str(address[0]), port), timeout=stall_s)
    connection = http.client.HTTPConnection(host, port, timeout=stall_s)
    if scheme == "https":
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    else:
        connection.sock = plain
    return connection


def _web(uri: str, stall_s: float, deadline: float) -> Iterator[bytes]:
    for _ in range(MAX_REDIRECTS + 1):
        split = urlsplit(uri)
        scheme, host = split.scheme.lower(), split.hostname
        if scheme not in ("http", "https"):
            raise RefusedError(f"it redirects to the scheme '{scheme}', not allowed")
        if not host:
            raise MalformedError("it names no host")
        port = split.port or (443 if scheme == "https" else 80)
        connection = _connect(scheme, host, port, stall_s)
        try:
            path = (split.path or "/") + (f"?{split.query}" if split.query else "")
            connection.request("GET", path, headers={"User-Agent": "mesos-twisted"})
            answer = connection.getresponse()
            moved = answer.getheader("Location")
            if answer.status in (301, 302, 303, 307, 308) and moved:
                uri = urljoin(uri, moved)
                continue
            if answer.status != 200:
                raise UnavailableError(f"the server answered {answer.status} {answer.reason}")
            yield from _body(answer, deadline)
            return
        finally:
            connection.close()
    raise RefusedError(f"it redirects more than {MAX_REDIRECTS} times")


def _body(answer: http.client.HTTPResponse, deadline: float) -> Iterator[bytes]:
    expected, got = answer.length, 0
    while piece := answer.read1(PIECE_BYTES):
        got += len(piece)
        if time.monotonic() > deadline:
            raise UnavailableError("it took too long")
        yield piece
    if expected is not None and got != expected:
        raise UnavailableError(f"the server sent {got} of {expected} bytes")


def reason(error: Exception) -> str:
    """Why, in few words."""
    if isinstance(error, TimeoutError):
        return "no data came for too long"
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be looked up ({error.strerror})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower() if not isinstance(error, ssl.SSLError) else str(error)
    return str(error) or type(error).__name__


def run(job: Job) -> dict[str, Any]:
    """The outcome of the whole job; the first failure ends it."""
    total = 0
    parent = os.getppid()
    deadline = time.monotonic() + job.total_s
    fd = os.open(job.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for item in job.items:
            try:
                if os.getppid() != parent:
                    raise UnavailableError("the agent went away")
                total += fetch(item, job, fd, deadline)
            except (MesosError, OSError, http.client.HTTPException, ValueError) as error:
                return {"uri": item.uri, "error": reason(error)}
        return {"bytes": total}
    finally:
        os.close(fd)


def main() -> int:
    """Entry point of the process."""
    job = read_job(sys.stdin.read())
    ssl.create_default_context()  # reads the system's authorities while it still may
    try:
        become(job)
        outcome = run(job)
    except OSError as error:
        outcome = {"uri": "", "error": f"{error.strerror} ({error.filename or 'change of user'})"}
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0 if "error" not in outcome else 1


if __name__ == "__main__":
    sys.exit(main())
