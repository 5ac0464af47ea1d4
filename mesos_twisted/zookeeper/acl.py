"""Who may read and change what we keep in ZooKeeper. Pure."""

from __future__ import annotations

from mesos_twisted.errors import MalformedError
from mesos_twisted.zookeeper import records as r

_ANYONE_READS = r.Acl(r.READ, "world", "anyone")


def parse_writers(text: str) -> tuple[r.Acl, ...]:
    """Anyone reads, and who is listed (`scheme:identity`, between semicolons) does anything.

    Raises MalformedError.
    """
    writers = []
    for entry in text.split(";"):
        scheme, colon, identity = entry.strip().partition(":")
        if not scheme or not colon or not identity or scheme in ("world", "auth"):
            raise MalformedError(
                f"'{entry.strip()}' names nobody in ZooKeeper; write scheme:identity, several with "
                "semicolons, as x509:CN=master m1"
            )
        writers.append(r.Acl(r.ALL, scheme, identity))
    return (_ANYONE_READS, *writers)


def acl_for(writers: str | None, identified: bool) -> tuple[r.Acl, ...]:
    """What our nodes are made with.

    Who is listed may write; without a list the creator alone (as in Mesos), if the servers can know
    it by credentials or certificate (`identified`); else anyone. Raises MalformedError.
    """
    if writers is not None:
        return parse_writers(writers)
    return r.EVERYONE_READ_CREATOR_ALL if identified else r.OPEN_ACL
