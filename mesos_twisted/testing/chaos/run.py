"""One run: start, faults, heal, quiet, end, verdict."""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from typing import Final

from mesos_twisted.testing.chaos import verdict
from mesos_twisted.testing.chaos.cluster import SESSION_S, Cluster
from mesos_twisted.testing.chaos.faults import Faults
from mesos_twisted.testing.chaos.framework import read
from mesos_twisted.testing.chaos.health import End
from mesos_twisted.testing.chaos.plan import plan
from mesos_twisted.testing.chaos.report import Report, truth_of
from mesos_twisted.testing.chaos.watch import Watch
from mesos_twisted.testing.processes import wait_until

START_S: Final = 90.0
#: By when all must be well again once nothing disturbs any more.
QUIET_S: Final = 90.0
TURN_S: Final = 0.05
#: What is told to be over is over by then.
GONE_S: Final = 20.0
#: Members that live through a run, so that a slow leak shows.
SPARED: Final = ("agent-3", "framework-2")


class Run:
    """`plan` is what will happen."""

    def __init__(self, root: Path, options: argparse.Namespace) -> None:
        self.root, self.options = root, options
        self.until_s = options.minutes * 60.0
        counts = {"zookeeper": 3, "master": 3, "agent": options.agents, "framework": 2}
        members = {kind: [f"{kind}-{n + 1}" for n in range(many)] for kind, many in counts.items()}
        self.plan = plan(
            options.seed,
            members,
            self.until_s,
            session_s=SESSION_S,
            gap_s=options.gap,
            spared=SPARED,
        )
        self.began = time.monotonic()

    def say(self, what: object) -> None:
        """A line of progress."""
        print(f"{time.monotonic() - self.began:7.1f} s  {what}", flush=True)

    def do(self) -> list[str]:
        """The broken promises, after all was printed."""
        self.say(f"seed {self.options.seed}: {len(self.plan)} faults in {self.until_s:.0f} s")
        options = self.options
        cluster = Cluster.make(
            self.root, options.seed, agents=options.agents, zk_tls=options.zk_tls
        )
        cluster.on_end = self._ended
        cluster.start()
        watch = Watch(cluster, lambda: time.monotonic() < faults.ensemble_disturbed_until)
        faults = Faults(cluster, watch.leader, watch.ensemble_leader)
        wait_until(lambda: watch.agents() == options.agents, "all agents are registered", START_S)
        self.say("the cluster is up")
        begin = time.monotonic()
        ahead = list(self.plan)
        while (now := time.monotonic() - begin) < self.until_s:
            while ahead and ahead[0].at_s <= now:
                self.say(faults.do(ahead.pop(0)))
            faults.turn()
            time.sleep(TURN_S)  # the instants of faults are real time
        broken = faults.heal()
        self.say("healed: all must be well again")
        broken += self._settle(cluster, watch)
        broken += watch.stop()
        broken += self._end(cluster)
        broken += Report(self.root, cluster, watch, faults).write(self.options.seed, self.until_s)
        for sentence in broken:
            print(f"BROKEN: {sentence}")
        print(f"{len(broken)} promises broken" if broken else "every promise was held")
        return broken

    def _ended(self, end: End) -> None:
        if end.by is None:
            said = f": {end.said}" if end.said else ""
            self.say(f"{end.member} ended by itself with status {end.status}{said}")

    def _settle(self, cluster: Cluster, watch: Watch) -> list[str]:
        broken = []
        (self.root / "finish").touch()
        names = cluster.names("framework")

        def well() -> bool:
            told = all((self.root / f"{name}.finished").exists() for name in names)
            return told and watch.agents() == self.options.agents

        began = time.monotonic()
        try:
            wait_until(well, "one leader, all agents, and every task told", QUIET_S)
            self.say(f"all was well again after {time.monotonic() - began:.1f} s")
        except AssertionError as error:
            who = [sorted(look.leaders) for look in watch.looks[-3:]]
            broken.append(f"{error}; leaders: {who}, agents active: {watch.agents()}")
        try:
            wait_until(lambda: not self._running(cluster), "no task that is over runs", GONE_S)
        except AssertionError:
            broken += self._running(cluster)
        return broken

    def _running(self, cluster: Cluster) -> list[str]:
        """Sentences on processes of tasks whose framework was told that they are over."""
        found = []
        for name in cluster.names("framework"):
            for story in verdict.stories(read(self.root / f"{name}.ledger")).values():
                for start in truth_of(self.root, story.task).starts if story.terminal else ():
                    if born(start.pid) == start.born:
                        end = story.terminal["state"] if story.terminal else ""
                        found.append(f"{story.task} was told {end}, and process {start.pid} runs")
        return found

    def _end(self, cluster: Cluster) -> list[str]:
        """All processes end as they are told; whatever is left then is an orphan."""
        cluster.end("framework", signal.SIGTERM)
        cluster.end("agent", signal.SIGUSR1)
        cluster.end("master", signal.SIGTERM)
        cluster.end("zookeeper", signal.SIGKILL)
        broken = list(cluster.overdue)
        known = {1, *cluster.network.holders}
        try:
            wait_until(lambda: not others(known), "no process is left", 20.0)
        except AssertionError:
            broken += [f"a process is left: {line}" for line in others(known)]
        return broken


def born(pid: int) -> str:
    """When a process began, as its kernel counts; empty when there is none, or a zombie."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]


def others(known: set[int]) -> list[str]:
    """Living processes of this world beyond those: not us, not zombies."""
    found = []
    own = Path("/proc/self").resolve().name
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in known or entry.name == own:
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if line:
            found.append(f"{entry.name} {line.strip()[:200]}")
    return found
