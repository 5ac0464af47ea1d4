"""Short jobs a second on one node: ours, Slurm's and Ray's, one after the other in the same run.

Slurm is what Debian ships (`apt-get install slurm-wlm`): slurmctld, slurmd and munged on this host
for the length of the run, an array job of `true`. Ray comes from a virtual environment of its own
(`.venv-bench/bin/pip install ray`): eight slots, each task a `subprocess.call(["true"])`. What is
not installed is said and left out.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import processes
from bench.report import Report

SLURM_JOBS, RAY_TASKS = 400, 2000
RAY_PYTHON = Path(".venv-bench/bin/python")
START_S = 20.0

_RAY = """
import subprocess, sys, time
import ray
ray.init(num_cpus=8, include_dashboard=False, logging_level="error", log_to_driver=False)
@ray.remote
def job():
    return subprocess.call(["true"])
ray.get([job.remote() for _ in range(64)])
began = time.monotonic()
ray.get([job.remote() for _ in range(int(sys.argv[1]))])
print("seconds", time.monotonic() - began)
ray.shutdown()
"""

_CONF = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={root}/ctld
SlurmdSpoolDir={root}/d
SlurmctldPidFile={root}/ctld.pid
SlurmdPidFile={root}/d.pid
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1
MaxArraySize=10000
MaxJobCount=20000
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def run(report: Report) -> None:
    """Two rounds of each, interleaved; the better one counts."""
    ours = 0.0
    reasons: dict[str, str] = {}
    drivers = {"Slurm": _slurm, "Ray": _ray}
    best = dict.fromkeys(drivers, 0.0)
    for _ in range(2):
        ours = max(ours, _ours())
        for name, measure in drivers.items():
            if name not in reasons:
                try:
                    best[name] = max(best[name], measure())
                except _AbsentError as problem:
                    reasons[name] = str(problem)
    slurm, ray = best["Slurm"], best["Ray"]
    report.add("ours, 64 in flight", ours, "tasks/s", at_least=300)
    for name, rate, least in (("Slurm", slurm, 10.0), ("Ray", ray, 0.7)):
        if name in reasons:
            report.add(f"{name}", None, note=f"left out: {reasons[name]}")
        else:
            report.add(f"{name}", rate, "tasks/s")
            report.add(f"ours over {name}", ours / rate, "x", at_least=least)


class _AbsentError(Exception):
    """The peer cannot run here; the reason and what to do."""


def _ours() -> float:
    command = [sys.executable, "-m", "bench.short"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=100, check=True)
    return float(done.stdout.split()[1])


def _ray() -> float:
    if not RAY_PYTHON.exists():
        raise _AbsentError(f"no {RAY_PYTHON}; make it and `pip install ray` there")
    with tempfile.TemporaryDirectory(prefix="bench-ray-", dir="/tmp") as directory:
        environment = os.environ | {"RAY_TMPDIR": directory, "TMPDIR": directory}
        done = subprocess.run(
            [str(RAY_PYTHON), "-c", _RAY, str(RAY_TASKS)],
            capture_output=True,
            text=True,
            timeout=100,
            env=environment | {"RAY_USAGE_STATS_ENABLED": "0"},
        )
    for line in done.stdout.splitlines():
        if line.startswith("seconds"):
            return RAY_TASKS / float(line.split()[1])
    raise _AbsentError(f"Ray did not run: {(done.stderr or done.stdout).strip()[-200:]}")


def _slurm() -> float:
    missing = [n for n in ("slurmctld", "slurmd", "munged", "sbatch") if _find(n) is None]
    if missing:
        raise _AbsentError(f"no {', '.join(missing)}; apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        raise _AbsentError("slurmd must run as root")
    root = Path(tempfile.mkdtemp(prefix="bench-slurm-", dir="/tmp"))
    # munged insists on directories that only root can write to, all the way up.
    private = Path(tempfile.mkdtemp(prefix="bench-munge-", dir="/run"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        return _slurm_in(root, private, started)
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in processes.naming(str(root)):
            os.kill(pid, 9)  # a slurmstepd that was left
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(private, ignore_errors=True)


def _slurm_in(root: Path, private: Path, started: list[subprocess.Popen[bytes]]) -> float:
    (root / "ctld").mkdir()
    (root / "d").mkdir()
    private.chmod(0o755)
    key = private / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    log = open(root / "log", "ab")
    ports = _free_ports(2)
    conf = root / "slurm.conf"
    text = _CONF.format(
        host=socket.gethostname().split(".")[0], root=root, ctld_port=ports[0], d_port=ports[1]
    )
    conf.write_text(text.replace(f"{root}/munge.socket", f"{private}/socket"))

    def start(name: str, *arguments: str) -> None:
        command = [str(_find(name)), *arguments]
        started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    environment = os.environ | {"SLURM_CONF": str(conf)}
    start(
        "munged", "-F", f"--socket={private}/socket", f"--key-file={key}",
        f"--pid-file={private}/pid", f"--seed-file={private}/seed", f"--log-file={private}/log",
        "--force",
    )  # fmt: skip
    _until(lambda: (private / "socket").exists(), root, "munged listens")
    start("slurmctld", "-D", "-f", str(conf))
    start("slurmd", "-D", "-f", str(conf))
    _until(lambda: b"idle" in _output(["sinfo", "-h"], environment), root, "the node is idle")
    array = f"--array=1-{SLURM_JOBS}"
    submit = ["sbatch", "--wait", "-o", "/dev/null", "-e", "/dev/null", array, "--wrap", "true"]
    began = time.monotonic()
    done = subprocess.run(submit, capture_output=True, env=environment, timeout=90, cwd=root)
    took = time.monotonic() - began
    if done.returncode != 0:
        raise _AbsentError(f"sbatch failed: {done.stderr.decode().strip()[-200:]}")
    return SLURM_JOBS / took


def _find(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _output(command: list[str], environment: dict[str, str]) -> bytes:
    return subprocess.run(command, capture_output=True, env=environment).stdout


def _until(ready: object, root: Path, what: str) -> None:
    assert callable(ready)
    deadline = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > deadline:
            tail = (root / "log").read_text(errors="replace").strip()[-300:]
            raise _AbsentError(f"not within {START_S:g} s: {what}; {tail}")
        time.sleep(0.1)  # polls real processes, with a deadline
