"""Everything that must hold, in one command: generated files, lint, types, layers, tests.

With arguments, only pytest runs, with those arguments. Two lanes of steps run side by side: what
needs processors alone steps back for the tests, which speak to real processes and often wait. Each
step's output and time are printed as one piece, in the order of `STEPS`; the tests' comes as it is
written once theirs is the turn. The first failing step does not stop the others, and the exit
status is 1 when any failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
#: How far the steps that only compute step back (nice(2)).
BACK = 10
POLL_S = 0.2


@dataclass(frozen=True)
class Step:
    """One thing that must hold; those of a lane run one after the other."""

    name: str
    command: list[str]
    lane: str
    nice: int = 0


def computes(name: str, *command: str) -> Step:
    """A step that needs processors and nothing else."""
    return Step(name, list(command), "computes", BACK)


def speaks(name: str, *command: str) -> Step:
    """A step that tests real processes, or installs what such tests need."""
    return Step(name, list(command), "speaks")


PYTEST = [sys.executable, "-m", "pytest"]
STEPS = (
    computes("generated protocol", sys.executable, "tools/generate_protocol.py", "--check"),
    computes("generated documents", sys.executable, "tools/generate_docs.py", "--check"),
    computes("lint", str(BIN / "ruff"), "check", "."),
    computes("format", str(BIN / "ruff"), "format", "--check", "."),
    computes("layers", str(BIN / "lint-imports")),
    computes("types", str(BIN / "mypy")),
    speaks("clients of others", "tools/clients.sh"),
    speaks("browser", "tools/browser.sh"),
    speaks("zookeeper", "tools/zookeeper.sh"),
    speaks("appliance", "tools/appliance.sh"),
    # Whole files to each process, in tests/conftest.py's order: no long one is left for the end.
    speaks("tests", *PYTEST, "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"),
    computes("simulator", str(BIN / "mesos-twisted"), "simulate", "--seeds", "500"),
)


@dataclass
class Running:
    """A step, what it says, and how it ended; `status` is None until then."""

    step: Step
    output: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    status: int | None = None
    took_s: float = 0.0
    shown: int = 0

    def run(self, environment: Mapping[str, str]) -> None:
        """Run it to its end; `status` is set, whatever happens."""
        started, status = time.monotonic(), 1
        command = ["nice", "-n", str(self.step.nice), *self.step.command]
        try:
            status = subprocess.call(
                command, stdout=self.output, stderr=subprocess.STDOUT, env=environment
            )
        except OSError as error:
            self.output.write(f"{command[0]} cannot be run: {error}\n".encode())
            self.output.flush()
        finally:
            self.took_s = time.monotonic() - started
            self.status = status

    def show(self, out: IO[bytes]) -> None:
        """Write what was not shown yet."""
        fresh = os.pread(self.output.fileno(), 1 << 20, self.shown)
        while fresh:
            self.shown += len(fresh)
            out.write(fresh)
            fresh = os.pread(self.output.fileno(), 1 << 20, self.shown)
        out.flush()


def run(steps: Iterable[Step], environment: Mapping[str, str], out: IO[bytes]) -> list[str]:
    """Run all steps, each lane side by side with the others; the names of those that failed."""
    running = [Running(step) for step in steps]
    lanes: dict[str, list[Running]] = {}
    for each in running:
        lanes.setdefault(each.step.lane, []).append(each)

    def follow(lane: list[Running]) -> Callable[[], None]:
        def one_after_the_other() -> None:
            for each in lane:
                each.run(environment)

        return one_after_the_other

    threads = [threading.Thread(target=follow(lane), daemon=True) for lane in lanes.values()]
    for thread in threads:
        thread.start()
    for each in running:
        out.write(f"== {each.step.name}\n".encode())
        while each.status is None:
            each.show(out)
            time.sleep(POLL_S)
        each.show(out)
        out.write(f"== {each.step.name}: {each.took_s:.1f} s\n".encode())
        out.flush()
    return [each.step.name for each in running if each.status != 0]


def environment() -> dict[str, str]:
    """Ours, but what Python compiled once is kept: the tests start a thousand processes."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def main(arguments: list[str]) -> int:
    os.chdir(ROOT)
    # What a shell puts in the background ignores it, and tests of Ctrl-C would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if arguments:
        return subprocess.call([*PYTEST, *arguments], env=environment())
    failed = run(STEPS, environment(), sys.stdout.buffer)
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
