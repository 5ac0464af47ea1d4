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
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mesos_twisted.testing.chaos import sessions
from mesos_twisted.testing.chaos.cluster import MASTER_PORT, Cluster, Member
from mesos_twisted.testing.chaos.health import Look, Patience, Sample
from mesos_twisted.testing.zookeeper import RealServer

EVERY_S: Final = 1.0
ANSWER_S: Final = 1.0
#: A look that is older says nothing of now.
FRESH_S: Final = 10.0


class Watch:
    """`looks` and `samples` grow until `stop`.

    Nobody leads: is it ZooKeeper, or is it ours? The watch asks each server for a session of its
    own, over a plain socket, so what our client makes of ZooKeeper does not count. `disturbed` says
    whether a fault of this run may keep the servers from agreeing now. When it does not, and still
    no server commits anything, ZooKeeper itself hangs: the stacks of its servers go to their logs,
    the one that leads it is killed as an operator would, and `stuck` has a sentence on it.
    """

    def __init__(self, cluster: Cluster, disturbed: Callable[[], bool] = lambda: False) -> None:
        self.cluster, self.disturbed = cluster, disturbed
        certs = cluster.root / "certs"
        self._context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
        self._context.load_cert_chain(certs / "operator.pem", certs / "operator-key.pem")
        self.looks: list[Look] = []
        self.samples: list[Sample] = []
        self.stuck: list[str] = []
        self._patience = Patience()
        self._over = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(6)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> list[str]:
        """It looks no more; a sentence when it had stopped to before."""
        alive = self._thread.is_alive()
        self._over.set()
        self._thread.join()
        return [] if alive else ["the watch ended before the run: who led then is not known"]

    def leader(self) -> str | None:
        """Who led when it looked last."""
        said = self.looks[-1].leaders if self.looks else frozenset()
        return min(said) if said else None

    def ensemble_leader(self) -> str | None:
        """Which ZooKeeper server leads the others now."""
        names = self.cluster.names("zookeeper")
        modes = self._pool.map(self._mode, names)
        return next(
            (name for name, mode in zip(names, modes, strict=True) if mode == "leader"), None
        )

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            masters = self.cluster.names("master")
            found = list(self._pool.map(self._leads, masters))
            said = frozenset(name for name, leads in zip(masters, found, strict=True) if leads)
            commits = None
            if said:
                self._patience.looked(time.time(), True, False)
            else:
                commits = any(self._pool.map(self._commits, self.cluster.names("zookeeper")))
                silent_s = self._patience.looked(time.time(), commits, self.disturbed())
                if silent_s is not None:
                    self._end_the_hang(silent_s)
            self.looks.append(Look(time.time(), said, commits))
            for member in self.cluster.members.values():
                if member.kind != "zookeeper":
                    self._sample(member)

    def _server(self, name: str) -> RealServer:
        return self.cluster.ensemble.servers[self.cluster.names("zookeeper").index(name)]

    def _commits(self, name: str) -> bool:
        return sessions.commits(self.cluster.ensemble, self._server(name))

    def _mode(self, name: str) -> str:
        return sessions.mode(self.cluster.ensemble, self._server(name))

    def _end_the_hang(self, silent_s: float) -> None:
        names = self.cluster.names("zookeeper")
        modes = {name: self._mode(name) for name in names}
        for name in names:
            self.cluster.members[name].send(signal.SIGQUIT)
        self._over.wait(2.0)
        chosen = [name for name, mode in modes.items() if mode == "leader"] or names
        for name in chosen:
            self.cluster.members[name].send(signal.SIGKILL)
        roles = ", ".join(f"{name} {mode or 'silent'}" for name, mode in modes.items())
        excuse = "while faults went on" if self.disturbed() else "without a fault"
        self.stuck.append(
            f"no server opened a session for {silent_s:.0f} s {excuse} ({roles}); "
            f"killed {', '.join(chosen)}"
        )

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
        self.samples.append(Sample(member.name, time.time(), rss_mb, fds, process.pid))

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
        look = self.looks[-1] if self.looks else Look(0.0, frozenset())
        said = look.leaders
        if len(said) != 1 or time.time() - look.at > FRESH_S:
            return -1
        document = self.ask(min(said), "/slaves")
        return sum(bool(agent["active"]) for agent in document["slaves"]) if document else -1
