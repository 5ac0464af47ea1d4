"""What a run says at its end: figures, and promises broken by logs, ledgers and looks."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesos_twisted.testing.chaos import health, verdict
from mesos_twisted.testing.chaos.cluster import SESSION_S, Cluster
from mesos_twisted.testing.chaos.faults import Faults
from mesos_twisted.testing.chaos.framework import read
from mesos_twisted.testing.chaos.plan import Kind
from mesos_twisted.testing.chaos.watch import Watch

#: What a daemon's log must never have.
_BUG: Final = re.compile(r"Traceback \(most recent|Unhandled |broken invariant|BugError")


def truth_of(root: Path, task: str) -> verdict.Truth:
    """What a task wrote."""
    path = root / "truth" / task
    return verdict.truth(path.read_text() if path.exists() else "")


@dataclass
class Report:
    """Of a run that is over, below `root`."""

    root: Path
    cluster: Cluster
    watch: Watch
    faults: Faults

    def write(self, seed: int, until_s: float) -> list[str]:
        """The broken promises; the figures are printed."""
        watch, faults = self.watch, self.faults
        tasks, broken = self._tasks()
        leads = self._leads()
        longest, without = health.leaderless(watch.looks)
        grown, growing = health.growth(watch.samples)
        broken += health.epochs(leads) + health.two_leaders(watch.looks, SESSION_S)
        broken += without + growing + self._ends() + self._logs() + faults.void
        two = sum(len(look.leaders) > 1 for look in watch.looks)
        print(f"\nseed {seed}, {until_s:.0f} s of faults")
        print(f"  faults: {faults.done.total()}", *self._faults(), sep="\n    ")
        print(f"  tasks: {tasks}")
        print(
            f"  leaders: {len(leads)} terms; {two} of {len(watch.looks)} looks saw two, "
            f"nobody led for {longest:.0f} s at most"
        )
        print(*self._processes(), *grown, sep="\n")
        print(f"  ZooKeeper hung by itself {len(watch.stuck)} times")
        print(*(f"  NOT OURS: {sentence}\n" for sentence in watch.stuck), sep="", end="")
        return broken

    def _faults(self) -> Iterator[str]:
        """Lines: what was done to whom."""
        done, missed = self.faults.done, self.faults.missed
        for kind in Kind:
            whom = {who: many for (what, who), many in done.items() if what is kind}
            parts = ", ".join(f"{many} {who}" for who, many in sorted(whom.items()))
            not_done = f" ({missed[kind]} had nobody to strike)" if missed[kind] else ""
            yield f"{sum(whom.values())} x {kind.value}: {parts or 'nobody'}{not_done}"
        frozen_s = sum(disk.frozen_s for disk in self.cluster.disks.values())
        waited = f"{self.faults.waited} of {self.faults.looked} looks"
        yield f"disks were frozen for {frozen_s:.1f} s, and an agent waited in {waited}"
        logs = [self.cluster.members[name].log for name in self.cluster.names("master")]
        expired = sum(log.read_text(errors="replace").count(" is expired: ") for log in logs)
        yield f"masters lost {expired} sessions of ZooKeeper"

    def _tasks(self) -> tuple[str, list[str]]:
        """How many of each state, and what is wrong with them."""
        told: Counter[str] = Counter()
        broken = []
        started = updates = 0
        full = [at for times in self.faults.disk_trouble.values() for at in times]
        everything = []
        for name in self.cluster.names("framework"):
            records = read(self.root / f"{name}.ledger")
            everything += records
            broken += verdict.errors(name, records)
            for story in verdict.stories(records).values():
                was = truth_of(self.root, story.task)
                broken += verdict.judge(story, was, full)
                started += bool(was.starts)
                updates += len(story.updates)
                told[story.terminal["state"] if story.terminal else "not accounted for"] += 1
        broken += verdict.strangers(everything, (p.name for p in (self.root / "truth").iterdir()))
        total = told.total()
        if started * 2 <= total:
            broken.append(f"{started} of {total} tasks ran: that tests nothing")
        states = ", ".join(f"{n} {state}" for state, n in sorted(told.items()))
        return f"{total} launched, {started} ran, {updates} updates; {states}", broken

    def _processes(self) -> Iterator[str]:
        for kind in ("master", "agent", "framework", "zookeeper"):
            own = [end for end in self.cluster.ends if end.member.startswith(kind)]
            alone = Counter(end.status for end in own if end.by is None)
            parts = ", ".join(f"{many} with status {status}" for status, many in alone.items())
            members = self.cluster.members
            starts = sum(members[name].starts for name in self.cluster.names(kind))
            yield f"  {kind}: {starts} starts; ended by itself {parts or 'never'}"

    def _leads(self) -> list[health.Lead]:
        """What masters logged of their leading, in the order of time."""
        found = []
        for name in self.cluster.names("master"):
            with open(self.cluster.members[name].log, "rb") as log:
                records = [json.loads(line) for line in log if b'"This master leads' in line]
            for record in records:
                place = (record["registry_id"], record["epoch"])
                found.append(health.Lead(record["time"], name, *place))
        return sorted(found, key=lambda lead: lead.at)

    def _ends(self) -> list[str]:
        """Nobody ended in a way that is not documented."""
        full = self.faults.disk_trouble
        ends = self.cluster.ends
        return [s for end in ends for s in health.ended(end, full.get(end.member, []))]

    def _logs(self) -> list[str]:
        broken = []
        for name, member in self.cluster.members.items():
            if member.kind == "zookeeper":
                continue
            for line in member.log.read_text(errors="replace").splitlines():
                if _BUG.search(line):
                    broken.append(f"{name} logged: {line.strip()[:300]}")
        return broken
