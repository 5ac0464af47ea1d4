"""`mesos-twisted simulate`: run seeds, or show one.

    mesos-twisted simulate --seeds 500 [--first-seed 0] [--jobs 2]
    mesos-twisted simulate --seed 7 --trace

Exit status: 0 when every promise was kept, 1 when one was broken, 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from zope.interface import implementer

from mesos_twisted.testing.sim import probes
from mesos_twisted.testing.sim.chart import Chart
from mesos_twisted.testing.sim.run import Verdict, minimise, run_seed

#: One seed in so many is run twice, and both runs must be the same.
TWICE: Final = 100
_SHOWN: Final = 5
_TELL_S: Final = 5.0


def start(arguments: Sequence[str]) -> int:
    """Run as the arguments say; the exit status."""
    options = _options(arguments)
    if options.seed is not None:
        return show(options.seed, options.trace, print)
    return sweep(options.first_seed, options.seeds, options.jobs, print)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mesos-twisted simulate",
        description="Runs masters, agents and frameworks under seeded faults, in simulated time.",
    )
    parser.add_argument("--seeds", type=_positive, default=100, help="how many seeds to run (100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (0)")
    parser.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, help="processes (one for each core)"
    )
    parser.add_argument("--seed", type=int, help="run this seed alone, and tell of it")
    parser.add_argument("--trace", action="store_true", help="with --seed: every event of it")
    return parser.parse_args(list(arguments))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


@implementer(ILogObserver)
class _Nobody:
    def __call__(self, event: LogEvent) -> None:
        pass


def _begin() -> None:
    """A process that runs seeds. What it has now stays, and what a world leaves is swept up once,
    at its end and before its auditor leaves: an error in it that nobody heard is told then."""
    _be_quiet()
    gc.collect()
    gc.freeze()
    gc.disable()


def _be_quiet() -> None:
    # What the simulated daemons log is theirs; a fault is no news here.
    globalLogBeginner.beginLoggingTo([_Nobody()], redirectStandardIO=False)


def _one(seed: int) -> tuple[Verdict, bool]:
    """A seed's verdict, and whether it was repeatable as far as that was tried."""
    verdict = run_seed(seed, ended=gc.collect)
    same = seed % TWICE != 0 or run_seed(seed, ended=gc.collect).trace == verdict.trace
    return verdict, same


def sweep(first: int, count: int, jobs: int, tell: Callable[[str], object]) -> int:
    """Run `count` seeds; progress, then the sum. 1 when a promise was broken."""
    began, told = time.monotonic(), 0.0
    broken: list[Verdict] = []
    unlike: list[int] = []
    events = harms = launches = 0
    reached: Counter[str] = Counter()
    with ProcessPoolExecutor(jobs, initializer=_begin) as pool:
        results = pool.map(_one, range(first, first + count), chunksize=4)
        for done, (verdict, same) in enumerate(results, 1):
            events, harms = events + verdict.events, harms + len(verdict.faults)
            launches += verdict.launches
            reached.update(verdict.probes)
            if not verdict.good:
                broken.append(verdict)
                tell(f"seed {verdict.seed}: {verdict.violations[0]}")
            if not same:
                unlike.append(verdict.seed)
                tell(f"seed {verdict.seed}: two runs of it differ")
            now = time.monotonic() - began
            if now - told >= _TELL_S or done == count:
                told = now
                tell(f"{done} of {count} seeds, {len(broken)} broke a promise, {now:.0f} s")
    minutes = max(time.monotonic() - began, 1e-9) / 60.0
    tell(
        f"{count} seeds, {events:,} events, {harms:,} faults, {launches:,} tasks: "
        f"{count / minutes:,.0f} seeds, {events / minutes:,.0f} events, "
        f"{harms / minutes:,.0f} faults a minute"
    )
    _tell_probes(reached, count, tell)
    for verdict in broken[:_SHOWN]:
        tell(f"look closer: mesos-twisted simulate --seed {verdict.seed} --trace")
    return 1 if broken or unlike else 0


def _tell_probes(reached: Counter[str], count: int, tell: Callable[[str], object]) -> None:
    for name, times in sorted(reached.items(), key=lambda item: (-item[1], item[0])):
        tell(f"  {times:>8,}  {name}")
    missing = list(probes.missing(reached))
    if missing and count >= 1000:
        tell("never reached: " + ", ".join(sorted(missing)))


def show(seed: int, trace: bool, tell: Callable[[str], object]) -> int:
    """Run one seed and tell its story; a broken one with the fewest faults that break it."""
    _be_quiet()
    verdict = run_seed(seed)
    needed: Sequence[int] = ()
    if not verdict.good:
        tell(f"seed {seed} breaks a promise; looking for the fewest faults that do")
        needed = minimise(seed, tell)
        left_out = {each.number for each in verdict.planned} - set(needed)
        verdict = run_seed(
            seed, without=left_out, begun=lambda world: Chart(world, tell, quiet=not trace)
        )
    else:
        run_seed(seed, begun=lambda world: Chart(world, tell, quiet=not trace))
    tell("")
    for violation in verdict.violations[:_SHOWN]:
        tell(str(violation))
    tell(
        f"seed {seed}: {verdict.events:,} events in {verdict.seconds:.0f} simulated seconds, "
        f"{len(verdict.faults)} faults, {verdict.launches} tasks, trace {verdict.trace}: "
        + ("every promise was kept" if verdict.good else f"{len(verdict.violations)} broken")
    )
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
