"""Looks at the cluster from outside all the while: who leads, who is registered, what grows."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import signal
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Final

from mesos_twisted.testing.chaos.cluster import MASTER_PORT, Cluster, Member
from mesos_twisted.testing.chaos.verdict import Sample

EVERY_S: Final = 1.0
ANSWER_S: Final = 1.0
#: A ZooKeeper leader that commits nothing for so long, while all masters try, is stuck.
STUCK_S: Final = 12.0


class Watch:
    """`leaders` and `samples` grow until `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        certs = cluster.root / "certs"
        self._context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
        self._context.load_cert_chain(certs / "operator.pem", certs / "operator-key.pem")
        self.leaders: list[tuple[float, frozenset[str]]] = []
        self.samples: list[Sample] = []
        #: ZooKeeper servers that were stuck, and were killed for it as an operator would.
        self.stuck: list[str] = []
        self._zxid: tuple[float, str, str] = (0.0, "", "")
        self._over = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(3)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """It looks no more."""
        self._over.set()
        self._thread.join()

    def leader(self) -> str | None:
        """Who led when it looked last."""
        said = self.leaders[-1][1] if self.leaders else frozenset()
        return min(said) if said else None

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            masters = self.cluster.names("master")
            found = list(self._pool.map(self._leads, masters))
            said = frozenset(name for name, leads in zip(masters, found, strict=True) if leads)
            self.leaders.append((time.time(), said))
            if said:
                self._zxid = (0.0, "", "")
            else:
                self._look_at_zookeeper()
            for member in self.cluster.members.values():
                if member.kind != "zookeeper":
                    self._sample(member)

    def _look_at_zookeeper(self) -> None:
        """Nobody leads: is it ZooKeeper itself?

        Its leader that was stopped and goes on, with its followers back before it noticed, may wait
        for ever for what it proposed before: the log of the followers has a gap ("Got zxid …
        expected …"), it answers pings, and no session can begin.
        """
        cluster = self.cluster
        for name, server in zip(cluster.names("zookeeper"), cluster.ensemble.servers, strict=True):
            said = cluster.ensemble.said(server)
            if said.get("Mode") == "leader":
                since, whose, zxid = self._zxid
                if (whose, zxid) != (name, said["Zxid"]):
                    self._zxid = (time.time(), name, said["Zxid"])
                elif time.time() - since > STUCK_S:
                    self.stuck.append(name)
                    self._zxid = (0.0, "", "")
                    cluster.members[name].send(signal.SIGKILL)

    def _leads(self, master: str) -> bool:
        document = self.ask(master, "/metrics/snapshot")
        return bool(document and document.get("master/elected"))

    def _sample(self, member: Member) -> None:
        process = member.process
        if process is None:
            return
        place = Path("/proc") / str(process.pid)
        try:
            pages = int((place / "statm").read_text().split()[1])
            fds = len(os.listdir(place / "fd"))
        except (OSError, IndexError):
            return
        rss_mb = pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
        self.samples.append(Sample(member.name, time.time(), rss_mb, fds))

    def ask(self, master: str, path: str) -> Any:
        """What a master answers, or None when it does not."""
        address = self.cluster.members[master].node.address
        connection = http.client.HTTPSConnection(
            address, MASTER_PORT, context=self._context, timeout=ANSWER_S
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def agents(self) -> int:
        """How many agents the one leader has active; -1 without one leader."""
        said = self.leaders[-1][1] if self.leaders else frozenset()
        if len(said) != 1:
            return -1
        document = self.ask(min(said), "/slaves")
        return sum(bool(agent["active"]) for agent in document["slaves"]) if document else -1
