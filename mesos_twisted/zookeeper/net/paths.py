"""Making a path of nodes."""

from __future__ import annotations

from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.errors import NodeExistsError
from mesos_twisted.zookeeper.net.client import ZooKeeperClient


async def make_path(client: ZooKeeperClient, path: str, acl: tuple[r.Acl, ...]) -> None:
    """Afterwards the path is there; what is missing of it is made with `acl`. Fails as calls do."""
    if await client.exists(path) is not None:
        return
    parent = path.rpartition("/")[0]
    if parent:
        await make_path(client, parent, acl)
    try:
        await client.create(path, b"", acl)
    except NodeExistsError:
        pass
