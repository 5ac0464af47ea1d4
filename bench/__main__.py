"""Measure and compare with the targets.

    python -m bench            every benchmark, one after the other
    python -m bench NAME...    some of them: see --list

Each runs in a process of its own. One table goes to standard output at the end; figures are kept
in `.cache/bench/results.json`. The exit status is 1 when a benchmark failed to run, not when a
target was missed: on a shared machine only CPU time means much.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import processes, report
from bench.cluster import PROFILED

RESULTS = Path(".cache/bench/results.json")
LIMIT_S = 420
#: Module to what it measures, in the order they run.
BENCHMARKS = {
    "launch": "ACCEPT to RUNNING and to the end, one task in flight",
    "throughput": "short tasks a second, CPU per task, memory per running task",
    "calls": "CPU of one scheduler call over TLS, beside twisted.web",
    "idle": "memory and CPU of idle daemons",
    "codec": "JSON to a typed call, beside json_format",
    "placement": "allocation cycles of the policy alone",
    "scale": "1,000 and 10,000 emulated agents on one master",
    "returning": "10,000 agents with tasks return, on new and on open links",
    "failover": "1,000 agents follow the next leader, by ZooKeeper",
    "registry": "50,000 agents in the embedded registry",
    "state": "/state of 10,000 agents and 100,000 tasks, in process",
    "state_served": "/state and re-registration over TLS, from emulated agents",
    "together": "the reactor's lag while launches, statuses, allocations and /state all run",
    "compare": "Slurm and Ray in the same run, where they are installed",
}


def main() -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; all when none given")
    parser.add_argument("--list", action="store_true", help="name them and end")
    parser.add_argument(
        "--profile", metavar="DAEMON,...", help="run these (master, agent-1) under cProfile"
    )
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        for name, what in BENCHMARKS.items():
            print(f"{name:14} {what}")
        return 0
    if options.profile:
        os.environ[PROFILED] = options.profile
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if options.rows is not None:
        return _run_here(options.names[0], options.rows)
    return _run_all(options.names or list(BENCHMARKS))


def _run_here(name: str, rows: Path) -> int:
    found = report.Report()
    try:
        importlib.import_module(f"bench.{name}").run(found)
    finally:
        rows.write_text(report.to_lines(found.rows))
    return 0


def _run_all(names: list[str]) -> int:
    results: dict[str, list[report.Row]] = {}
    failed = []
    for name in names:
        print(f"{name}: {BENCHMARKS[name]}", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            rows = Path(directory) / "rows"
            began = time.monotonic()
            status = _run_apart(name, rows, directory)
            if rows.exists():
                results[name] = report.from_lines(rows.read_text())
        if status != 0:
            failed.append(name)
        print(f"    ({time.monotonic() - began:.0f} s)", flush=True)
        report.save(RESULTS, {n: results[n] for n in (name,) if n in results}, facts())
    print()
    print(report.table(results))
    print(f"\n{facts_line()}; kept in {RESULTS}")
    if failed:
        print(f"did not run to the end: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run_apart(name: str, rows: Path, directory: str) -> int:
    """Run it in a process of its own; its exit status. Nothing it started is left."""
    command = [sys.executable, "-m", "bench", "--rows", str(rows), name]
    process = subprocess.Popen(command, env=os.environ | {"TMPDIR": directory})
    try:
        return process.wait(LIMIT_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
        print(f"    {name} is ended ({type(reason).__name__})", flush=True)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if isinstance(reason, KeyboardInterrupt):
            raise
        return -1
    finally:
        for pid in processes.naming(directory):
            # Only what the benchmark left behind names its directory.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def facts() -> dict[str, object]:
    """The machine, as far as figures depend on it."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "kernel": platform.release(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def facts_line() -> str:
    """The machine in one line."""
    known = facts()
    return (
        f"{known['cores']} x {known['cpu']}, Linux {known['kernel']}, Python {known['python']}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
