"""Who contends, besides who leads: what each of the nodes below the election's path says.

A node's data never changes, so each is read once. What cannot be read or understood is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mesos_twisted.election.membership import Member, decode_info, members
from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.zookeeper.errors import (
    AnswerError,
    ConnectionLostError,
    SessionEndedError,
)
from mesos_twisted.zookeeper.net.client import ZooKeeperClient

_log = Logger()


class Contenders:
    """`told(infos)` is called with each change, the leader's first."""

    def __init__(self, path: str, told: Callable[[Sequence[m.MasterInfo]], object]) -> None:
        self._path = path
        self._told = told
        self._wanted: list[Member] = []
        self._known: dict[str, m.MasterInfo | None] = {}
        self._last: list[m.MasterInfo] | None = None
        self._reading: ZooKeeperClient | None = None

    def seen(self, client: ZooKeeperClient, names: Sequence[str]) -> None:
        """Those are the names below the path now."""
        self._wanted = [member for member in members(names) if member.readable]
        there = {member.name for member in self._wanted}
        self._known = {name: info for name, info in self._known.items() if name in there}
        if self._reading is not client:
            self._reading = client
            done = Deferred.fromCoroutine(self._read(client))
            done.addErrback(lambda failure: _log.failure("Reading who contends failed", failure))

    async def _read(self, client: ZooKeeperClient) -> None:
        """Until all that are wanted are known, or the session ends."""
        while self._reading is client:
            unknown = [member for member in self._wanted if member.name not in self._known]
            if not unknown:
                break
            member = unknown[0]
            try:
                data = (await client.get(f"{self._path}/{member.name}")).data
                self._known[member.name] = decode_info(member, data)
            except ConnectionLostError:
                continue
            except SessionEndedError:
                break
            except (AnswerError, MalformedError):
                # Gone meanwhile, or nobody we could speak with.
                self._known[member.name] = None
        else:
            return
        self._reading = None
        if not any(member.name not in self._known for member in self._wanted):
            self._tell()

    def _tell(self) -> None:
        found = [self._known[member.name] for member in self._wanted]
        infos = [info for info in found if info is not None]
        if infos != self._last:
            self._last = infos
            self._told(infos)
