"""Says why a host cannot carry its part of a cluster: preflight.py JSON.

The argument holds `python`, `python_tags` (of the bundle's wheels; empty: any), `address`, `names`
(other hosts' names), `own_name` (empty: not looked up), `ports` ([{port, unit}]), `disk_free_mb`,
`roles`. Printed is a JSON list of sentences, empty when the host is fit. Nothing is changed. Runs
on Python 3.8 or newer.
"""

import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys

OLDEST_SYSTEMD = 247
CONTROLLERS = ("cpu", "memory", "pids")


def main(asked):
    problems = []
    problems += python(asked["python"], asked["python_tags"])
    problems += systemd()
    problems += address(asked["address"])
    problems += names(asked["names"], asked["own_name"])
    for port in asked["ports"]:
        problems += port_is_free(int(port["port"]), port.get("unit", ""))
    for path in ("/opt", "/var/lib"):
        problems += space(path, asked["disk_free_mb"])
    if "agent" in asked["roles"]:
        problems += cgroups()
    return problems


def python(command, tags):
    if shutil.which(command) is None:
        return [f"There is no {command}: install Python 3.11 or newer, or set mesos_python."]
    code = "import sys, ssl, venv, sqlite3, ctypes; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([command, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return [f"{command} lacks a part of its standard library ({last}): install it in full."]
    version = done.stdout.strip()
    major, minor = (int(part) for part in version.split("."))
    if (major, minor) < (3, 11):
        return [
            f"{command} is Python {version}, and 3.11 is needed: set mesos_python to a newer one."
        ]
    tag = f"cp{major}{minor}"
    if tags and tag not in tags:
        have = ", ".join(sorted(tags))
        return [
            f"{command} is Python {version}, for which the bundle has no wheels (only {have}): "
            f"make it with ./bundle --python {version}."
        ]
    return []


def systemd():
    if not os.path.isdir("/run/systemd/system"):
        return ["systemd does not run here: the daemons are its units."]
    done = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"systemd (\d+)", done.stdout)
    if found and int(found.group(1)) < OLDEST_SYSTEMD:
        return [
            f"systemd is {found.group(1)}, and {OLDEST_SYSTEMD} is needed: use a newer release."
        ]
    return []


def address(wanted):
    if not wanted:
        return ["The host has no address of its own: set mesos_address in the inventory."]
    family = socket.AF_INET6 if ":" in wanted else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        try:
            trial.bind((wanted, 0))
        except OSError:
            return [f"{wanted} is not an address of this host: set mesos_address in the inventory."]
    return []


def names(others, own):
    problems = []
    for name in [*others, *([own] if own else [])]:
        try:
            found = {item[4][0] for item in socket.getaddrinfo(name, None)}
        except OSError:
            problems.append(
                f"The name {name} does not resolve here: add it to the name service, "
                "or set mesos_hosts_file to true."
            )
            continue
        loopback = sorted(a for a in found if a.startswith("127.") or a == "::1")
        if loopback:
            problems.append(
                f"The name {name} is {loopback[0]} here, where no other host can reach it: "
                "take that line out of /etc/hosts, or set mesos_hosts_file to true."
            )
    return problems


def port_is_free(port, unit):
    problems = []
    for inode in listeners(port):
        pid = holder(inode)
        if pid is None:
            problems.append(f"Port {port} is held by a process that cannot be seen from here.")
            continue
        with open(f"/proc/{pid}/cgroup") as lines:
            groups = lines.read()
        if unit and re.search(rf"/{re.escape(unit)}(/|$)", groups, re.MULTILINE):
            continue
        with open(f"/proc/{pid}/comm") as line:
            name = line.read().strip()
        problems.append(
            f"Port {port} is held by process {pid} ({name}): stop it, or choose another port."
        )
    return sorted(set(problems))


def listeners(port):
    """Inodes of the sockets that listen on it."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:
                rows = [line.split() for line in list(lines)[1:]]
        except OSError:
            continue
        for row in rows:
            if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:
                yield row[9]


def holder(inode):
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(path) == f"socket:[{inode}]":
                return path.split("/")[2]
        except OSError:
            continue
    return None


def space(path, wanted_mb):
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    free_mb = shutil.disk_usage(path).free // 2**20
    if free_mb < wanted_mb:
        return [f"{path} has {free_mb} MiB free, and {wanted_mb} are wanted: make room."]
    return []


def cgroups():
    root = "/sys/fs/cgroup"
    try:
        with open(f"{root}/cgroup.controllers") as line:
            found = set(line.read().split())
    except OSError:
        with open("/proc/self/mounts") as lines:
            mounts = [line.split() for line in lines]
        found = {o for m in mounts if m[2] == "cgroup" for o in m[3].split(",")}
    missing = [name for name in CONTROLLERS if name not in found]
    if missing:
        return [
            f"The kernel offers no cgroup controller {' and '.join(missing)}, which an agent "
            "needs to limit tasks: enable it on the kernel's command line."
        ]
    return []


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
