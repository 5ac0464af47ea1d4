"""One run: start, faults, heal, quiet, end, verdict."""

from __future__ import annotations

import argparse
import re
import signal
import time
from pathlib import Path
from typing import Final

from mesos_twisted.testing.chaos import verdict
from mesos_twisted.testing.chaos.cluster import SESSION_S, Cluster, End
from mesos_twisted.testing.chaos.faults import Faults
from mesos_twisted.testing.chaos.framework import read
from mesos_twisted.testing.chaos.plan import plan
from mesos_twisted.testing.chaos.watch import Watch
from mesos_twisted.testing.processes import wait_until

START_S: Final = 90.0
#: By when all must be well again once nothing disturbs any more.
QUIET_S: Final = 90.0
TURN_S: Final = 0.05
#: What a daemon's log must never have.
_BUG: Final = re.compile(r"Traceback \(most recent|Unhandled |broken invariant|BugError")


class Run:
    """`plan` is what will happen."""

    def __init__(self, root: Path, options: argparse.Namespace) -> None:
        self.root, self.options = root, options
        self.until_s = options.minutes * 60.0
        counts = {"zookeeper": 3, "master": 3, "agent": options.agents, "framework": 2}
        members = {kind: [f"{kind}-{n + 1}" for n in range(many)] for kind, many in counts.items()}
        self.plan = plan(
            options.seed, members, self.until_s, session_s=SESSION_S, gap_s=options.gap
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
        watch = Watch(cluster)
        wait_until(lambda: watch.agents() == options.agents, "all agents are registered", START_S)
        self.say("the cluster is up")
        faults = Faults(cluster, watch.leader)
        begin = time.monotonic()
        ahead = list(self.plan)
        while (now := time.monotonic() - begin) < self.until_s:
            while ahead and ahead[0].at_s <= now:
                self.say(faults.do(ahead.pop(0)))
            faults.turn()
            time.sleep(TURN_S)  # the instants of faults are real time
        faults.heal()
        self.say("healed: all must be well again")
        broken = self._settle(cluster, watch)
        watch.stop()
        broken += self._end(cluster)
        return self._report(cluster, watch, faults, broken)

    def _ended(self, end: End) -> None:
        if end.by is None:
            self.say(f"{end.member} ended by itself with status {end.status}")

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
            who = [sorted(leaders) for _, leaders in watch.leaders[-3:]]
            broken.append(f"{error}; leaders: {who}, agents active: {watch.agents()}")
        return broken

    def _end(self, cluster: Cluster) -> list[str]:
        """All processes end as they are told; whatever is left then is an orphan."""
        before = len(cluster.ends)
        cluster.end("framework", signal.SIGTERM)
        cluster.end("agent", signal.SIGUSR1)
        cluster.end("master", signal.SIGTERM)
        cluster.end("zookeeper", signal.SIGKILL)
        broken = [
            f"{end.member} ended with status {end.status} when it was told to"
            for end in cluster.ends[before:]
            if end.status != 0 and not end.member.startswith("zookeeper")
        ]
        known = {1, *cluster.network.holders}
        try:
            wait_until(lambda: not _others(known), "no process is left", 20.0)
        except AssertionError:
            broken += [f"a process is left: {line}" for line in _others(known)]
        return broken

    def _report(
        self, cluster: Cluster, watch: Watch, faults: Faults, broken: list[str]
    ) -> list[str]:
        told: dict[str, int] = {}
        total = started = 0
        full = [at for times in faults.disk_trouble.values() for at in times]
        for name in cluster.names("framework"):
            records = read(self.root / f"{name}.ledger")
            broken += verdict.errors(name, records)
            for story in verdict.stories(records).values():
                path = self.root / "truth" / story.task
                was = verdict.truth(path.read_text() if path.exists() else "")
                broken += verdict.judge(story, was, full)
                started += bool(was.starts)
                state = story.terminal["state"] if story.terminal else "not accounted for"
                told[state] = told.get(state, 0) + 1
                total += 1
        broken += verdict.two_leaders(watch.leaders, SESSION_S)
        lines, grown = verdict.growth(watch.samples)
        broken += grown
        broken += self._ends(cluster, faults)
        broken += self._logs(cluster)
        leaders = {min(said) for _, said in watch.leaders if said}
        print(f"\nseed {self.options.seed}, {self.until_s:.0f} s of faults")
        done = ", ".join(f"{many} x {kind.value}" for kind, many in faults.done.items())
        print(f"  faults: {done}")
        print(f"  {total} tasks: {', '.join(f'{n} {state}' for state, n in sorted(told.items()))}")
        print(f"  leaders: {', '.join(sorted(leaders))}; {len(cluster.ends)} ends of processes")
        print(*(f"  {line}" for line in lines), sep="\n")
        if watch.stuck:
            print(f"  ZooKeeper's own leader was stuck and was killed: {', '.join(watch.stuck)}")
        for disk in {disk.freezes for disk in cluster.disks.values()}:
            print("  slow disks were frozen" if disk else "  disks could not be frozen here")
        if started * 2 <= total:
            broken.append(f"{started} of {total} tasks ran: that tests nothing")
        for sentence in broken:
            print(f"BROKEN: {sentence}")
        print(f"{len(broken)} promises broken" if broken else "every promise was held")
        return broken

    def _ends(self, cluster: Cluster, faults: Faults) -> list[str]:
        """Nobody ended by itself without a reason that is documented."""
        broken = []
        for end in cluster.ends:
            if end.by is None:
                full = faults.disk_trouble.get(end.member, [])
                broken += verdict.ended(end.member, end.status, end.at, full)
        return broken

    def _logs(self, cluster: Cluster) -> list[str]:
        broken = []
        for name, member in cluster.members.items():
            if member.kind == "zookeeper":
                continue
            for line in member.log.read_text(errors="replace").splitlines():
                if _BUG.search(line):
                    broken.append(f"{name} logged: {line.strip()[:300]}")
        return broken


def _others(known: set[int]) -> list[str]:
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
