"""Looks for the seeds that find planted bugs.

find(bug, seeds)    the first of the seeds whose world breaks a promise with the bug
table()             what docs/reliability.md says of all of them
python -m mesos_twisted.testing.sim.zoo.hunt [--seeds N] [NAME ...]    the rows of `seeds.py`
python -m mesos_twisted.testing.sim.zoo.hunt --kinds leader_deposed NAME    in seeds with that fault
python -m mesos_twisted.testing.sim.zoo.hunt --table    the table of the documentation
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from mesos_twisted.testing.sim import faults
from mesos_twisted.testing.sim.auditor_scene import Violation
from mesos_twisted.testing.sim.run import FAULTS_S, run_seed
from mesos_twisted.testing.sim.zoo import BUGS, PlantedBug
from mesos_twisted.testing.sim.zoo.seeds import FOUND, NOT_FOUND

PROCESSES = 2


def run_planted(bug: PlantedBug, seed: int) -> Violation | None:
    """The first promise that the seed's world breaks with the bug in it."""
    with bug.plant():
        violations = run_seed(seed, until_broken=True).violations
    return violations[0] if violations else None


def _run_named(name: str, seed: int) -> Violation | None:
    return run_planted(BUGS[name], seed)


def find(
    bug: PlantedBug, seeds: Iterable[int], processes: int = PROCESSES
) -> tuple[int, Violation] | None:
    """The first of the seeds that finds the bug, and what it found. One of the zoo's, if there is
    more than one process."""
    if processes == 1:
        return next(_alone(bug, seeds), None)
    waiting = list(seeds)
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        for start in range(0, len(waiting), processes):
            part = waiting[start : start + processes]
            for seed, found in zip(
                part, pool.map(_run_named, [bug.name] * len(part), part), strict=True
            ):
                if found is not None:
                    return seed, found
    return None


def _alone(bug: PlantedBug, seeds: Iterable[int]) -> Iterator[tuple[int, Violation]]:
    for seed in seeds:
        found = run_planted(bug, seed)
        if found is not None:
            yield seed, found


def table() -> str:
    """A row of Markdown for each bug: where it is from, and which seed finds it, as what."""
    rows = ["| bug | area | like | scenario | found by seed, as |", "|---|---|---|---|---|"]
    for bug in BUGS.values():
        ids = ", ".join(map(str, bug.ids)) or "–"
        if bug.name in FOUND:
            seed, invariant = FOUND[bug.name]
            verdict = f"{seed}, {invariant}"
        else:
            verdict = f"not found: {NOT_FOUND[bug.name]}"
        rows.append(f"| `{bug.name}` | {bug.area} | {ids} | {bug.paraphrase} | {verdict} |")
    return "\n".join(rows) + "\n"


def with_faults(seeds: Iterable[int], kinds: Iterable[str]) -> list[int]:
    """Those seeds in which one of these kinds of fault happens; all, when none is named."""
    wanted = set(kinds)
    return [
        seed
        for seed in seeds
        if not wanted or any(one.kind in wanted for one in faults.plan(seed, FAULTS_S))
    ]


def main() -> None:
    """Prints a row for each bug: its seed and what is broken, or that nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="planted bugs; all, unless named")
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to try")
    parser.add_argument("--first-seed", type=int, default=0, help="where to begin")
    parser.add_argument("--kinds", nargs="*", default=(), help="only seeds with such a fault")
    parser.add_argument("--table", action="store_true", help="print the documentation's table")
    given = parser.parse_args()
    if given.table:
        print(table(), end="")
        return
    seeds = with_faults(range(given.first_seed, given.first_seed + given.seeds), given.kinds)
    for name in given.names or BUGS:
        found = find(BUGS[name], seeds)
        if found is None:
            print(f"    # {name}: not in {len(seeds)} seeds", flush=True)
        else:
            seed, violation = found
            print(f'    "{name}": ({seed}, "{violation.invariant}"),  # {violation}', flush=True)


if __name__ == "__main__":
    main()
