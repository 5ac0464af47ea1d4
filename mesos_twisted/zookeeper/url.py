"""`zk://[user:password@]host:port,host2:port2/path`: where an ensemble is, and what is ours there.

The syntax is Mesos's (`include/mesos/zookeeper/url.hpp`). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core.secret import Secret

SCHEME: Final = "zk://"
DEFAULT_PORT: Final = 2181
_FORM: Final = "write zk://host1:port1,host2:port2/path, with user:password@ before the hosts"


@dataclass(frozen=True, slots=True)
class ZkUrl:
    """An ensemble's servers and a path there, which begins with `/` and does not end with it.

    `credentials` is `user:password` for ZooKeeper's digest scheme.
    """

    hosts: tuple[tuple[str, int], ...]
    path: str
    credentials: Secret | None = None

    def __str__(self) -> str:
        servers = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)
        return f"{SCHEME}{'' if self.credentials is None else '…@'}{servers}{self.path}"


def is_zk_url(text: str) -> bool:
    """Does the text mean an ensemble?"""
    return text.strip().startswith(SCHEME)


def parse_zk_url(text: str) -> ZkUrl:
    """Read such a text. Raises MalformedError, which names no credentials.

    A path is needed: `/` would mix our nodes with everybody's.
    """
    text = text.strip()
    if not text.startswith(SCHEME):
        raise MalformedError(f"A ZooKeeper URL does not begin with '{SCHEME}'; {_FORM}.")
    # As in Mesos, a password may hold anything but a slash: the last @ before the path ends it.
    servers, slash, path = text[len(SCHEME) :].partition("/")
    credentials, at, servers = servers.rpartition("@")
    if at and ":" not in credentials:
        raise MalformedError(f"A ZooKeeper URL's credentials have no colon; {_FORM}.")
    path = check_path((slash + path).rstrip("/"))
    hosts = tuple(_host(each.strip()) for each in servers.split(",") if each.strip())
    if not hosts:
        raise MalformedError(f"A ZooKeeper URL names no server; {_FORM}.")
    return ZkUrl(hosts, path, Secret(credentials.encode()) if at else None)


def without_credentials(text: str) -> str:
    """The text as it may be shown; any other text than such a URL stays as it is."""
    if not is_zk_url(text):
        return text
    servers, slash, path = text.strip()[len(SCHEME) :].partition("/")
    _, at, servers = servers.rpartition("@")
    return f"{SCHEME}{'…@' if at else ''}{servers}{slash}{path}"


def check_path(path: str) -> str:
    """The path, if ZooKeeper would take it and it is not the root. Raises MalformedError."""
    parts = path.split("/")
    if len(parts) < 2 or parts[0] or not all(parts[1:]) or {".", ".."} & set(parts):
        raise MalformedError(
            f"'{path}' is not a path in ZooKeeper that could be used; write one like /mesos."
        )
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in path):
        raise MalformedError("A path in ZooKeeper holds a control character")
    return path


def _host(text: str) -> tuple[str, int]:
    if text.endswith("]") or ":" not in text:
        host, port = text, str(DEFAULT_PORT)
    else:
        host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise MalformedError(f"'{text}' is ambiguous; write an IPv6 address in brackets.")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise MalformedError(f"'{text}' is not the address of a ZooKeeper server; {_FORM}.")
    return host, int(port)
