"""Where the connector may listen, and which Host headers are meant for it.

Only loopback addresses and Unix sockets: what the connector says upstream, it says with a
certificate that its clients do not have.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from mesos_twisted.errors import MalformedError

UNIX = "unix:"
_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s/:\[\]@]+)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A loopback IP address and a port; port 0 is any free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system."""

    path: str


Address = TcpAddress | UnixAddress


def parse_listen(text: str) -> Address:
    """The address to listen on. Raises MalformedError when it is not local to this machine."""
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path.startswith("/"):
            raise MalformedError(f"--listen={text} must hold an absolute path: unix:/run/x.sock")
        return UnixAddress(path)
    host, port = split_host_port(text, "--listen")
    if host == "localhost":
        host = "127.0.0.1"
    if not is_loopback(host):
        raise MalformedError(
            f"--listen={text} is refused: the connector speaks plaintext with its own identity,"
            " so it listens on loopback only; use 127.0.0.1:PORT, [::1]:PORT or unix:/path"
        )
    return TcpAddress(host, port)


def split_host_port(text: str, flag: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[ipv6]:port`. Raises MalformedError naming the flag."""
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise MalformedError(f"{flag}={text} is not an address; write host:port")
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Is this an IP address of loopback? A name is not, whatever it resolves to."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_meant_for_us(host_header: str, names: frozenset[str]) -> bool:
    """May a request with this Host header be served?

    A web page can make a browser of this user ask a loopback port under any name it controls, and
    such a name is all that tells its requests from others. `names` are this machine's own, in
    lower case. No header or an empty one is of no browser.
    """
    host = host_header.strip().lower()
    match = _HOST_PORT.fullmatch(host)
    if match is not None:
        host = match[1] or match[2]
    host = host.removeprefix("[").removesuffix("]")
    return not host or host == "localhost" or host in names or is_loopback(host)
