"""Nodes as LXC containers: made, started, killed, looked at, and removed without a trace.

A node is an overlay on the root filesystem, in a directory of its own below the laboratory's:
`config`, `delta` (what the node changed) and, while Vagrant does not keep the container, LXC's own
files. The same directory serves nodes of `./lab nodes` and nodes of Vagrant; they differ in who
calls lxc-start, and so in LXC's path.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tools.lab import host, network, rootfs, texts
from tools.lab.errors import LabError
from tools.lab.plan import Lab, Node, plan

VAGRANT_LXC_PATH = Path("/var/lib/lxc")
BOOT_S = 120
LEAST_WATCHES = 1024
LXCFS = Path("/var/lib/lxcfs")


def state_of(lab: Lab) -> Path:
    """The laboratory's directory."""
    return host.STATE / lab.name


def node_state(lab: Lab, node: Node) -> Path:
    """The node's directory."""
    return state_of(lab) / node.name


def known_hosts(lab: Lab) -> Path:
    """The host keys of all nodes, so that ssh need not trust at first sight."""
    return state_of(lab) / "known_hosts"


def lxc_path(lab: Lab) -> Path:
    """LXC's own directory for this laboratory's containers."""
    return state_of(lab) / "lxc"


def _tool(lab: Lab, node: Node, name: str, *options: str) -> tuple[str, ...]:
    """An lxc-* command for `node`, wherever the container is kept."""
    container = lab.container(node)
    path = lxc_path(lab)
    if not (path / container).is_dir() and (VAGRANT_LXC_PATH / container).is_dir():
        path = VAGRANT_LXC_PATH
    return (f"lxc-{name}", "-P", str(path), "-n", container, *options)


def prepare(lab: Lab) -> None:
    """Everything nodes need before they start: packages, root filesystem, networks, directories."""
    host.need_root("The lxc laboratory")
    host.install()
    root = _root(lab)
    with host.locked("host"):
        network.up(lab)
        _allow_watches()
        _serve_lxcfs()
        record(lab, root)
        for node in lab.nodes:
            _lay_out(lab, node, root)
        keys = []
        for node in lab.nodes:
            public = node_state(lab, node) / "delta/etc/ssh/ssh_host_ed25519_key.pub"
            names = f"{node.name},{lab.management_address(node)},{lab.cluster_address(node)}"
            keys.append(f"{names} {' '.join(public.read_text().split()[:2])}\n")
        known_hosts(lab).write_text("".join(keys))


def record(lab: Lab, root: Path) -> None:
    """`lab` is remembered as it is, with the root filesystem it stands on."""
    state_of(lab).mkdir(parents=True, exist_ok=True)
    what = {
        "nodes": [[node.name, list(node.groups)] for node in lab.nodes],
        "golden": lab.golden,
        "memory_mb": lab.memory_mb,
        "cpus": lab.cpus,
        "subnet": str(lab.management.supernet()),
        "root": str(root),
    }
    (state_of(lab) / "lab.json").write_text(json.dumps(what))


def _root(lab: Lab) -> Path:
    """The root filesystem `lab` stands on, though today's be another; a new one gets today's."""
    path = state_of(lab) / "lab.json"
    if path.exists():
        root = Path(json.loads(path.read_text())["root"])
        if root.is_dir():
            return root
    return rootfs.make(lab.golden)


def roots() -> set[Path]:
    """The root filesystems that laboratories of this host stand on."""
    return {Path(json.loads(path.read_text())["root"]) for path in host.STATE.glob("*/lab.json")}


def recorded(name: str) -> Lab | None:
    """The laboratory `name` as it was made; None when there is none."""
    path = host.STATE / name / "lab.json"
    if not path.exists():
        return None
    what = json.loads(path.read_text())
    environment = {
        "LAB_MEMORY": str(what["memory_mb"]),
        "LAB_CPUS": str(what["cpus"]),
        "LAB_SUBNET": what["subnet"],
        "LAB_GOLDEN": "yes" if what["golden"] else "no",
    }
    return plan(environment, name=name, nodes=[(node, groups) for node, groups in what["nodes"]])


def _lay_out(lab: Lab, node: Node, root: Path) -> None:
    """`node`'s directory with its configuration; its delta is begun once and then left alone."""
    state = node_state(lab, node)
    state.mkdir(exist_ok=True)
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    (state / "config").write_text(texts.container_config(lab, node, root, state, unified=unified))
    delta = state / "delta"
    if delta.is_dir():
        return
    begun = state / "delta.partial"
    shutil.rmtree(begun, ignore_errors=True)
    (begun / "etc/ssh").mkdir(parents=True)
    (begun / "etc/hosts").write_text(texts.hosts(lab, node))
    # vagrant-lxc names a machine after its container; systemd believes this file instead.
    (begun / "etc/hostname").write_text(f"{node.name}\n")
    shutil.copyfile(rootfs.resolv_conf(), begun / "etc/resolv.conf")
    key = begun / "etc/ssh/ssh_host_ed25519_key"
    host.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", node.name, "-f", key)
    public = rootfs.key_file().with_suffix(".pub").read_text()
    for home, owner, mode in (("root", 0, 0o700), ("home/vagrant", 1000, 0o755)):
        ssh = begun / home / ".ssh"
        ssh.mkdir(parents=True)
        (ssh / "authorized_keys").write_text(public)
        (begun / home).chmod(mode)
        ssh.chmod(0o700)
        for path in (begun / home, ssh, ssh / "authorized_keys"):
            shutil.chown(path, owner, owner)
        (ssh / "authorized_keys").chmod(0o600)
    begun.rename(delta)


def up(lab: Lab) -> None:
    """Every node of `lab` runs and answers ssh."""
    prepare(lab)
    for node in lab.nodes:
        start(lab, node)
    for node in lab.nodes:
        wait(lab, node)


def start(lab: Lab, node: Node) -> None:
    """`node` was told to start; nothing happens when it runs."""
    if state(lab, node) == "running":
        return
    own = lxc_path(lab) / lab.container(node)
    if not (VAGRANT_LXC_PATH / lab.container(node)).is_dir():
        own.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(node_state(lab, node) / "config", own / "config")
    log = node_state(lab, node) / "lxc.log"
    host.run(*_tool(lab, node, "start", "--logfile", str(log), "--logpriority", "WARN"))


def wait(lab: Lab, node: Node) -> None:
    """`node` answers with ssh's greeting; LabError when it does not within two minutes."""
    deadline = time.monotonic() + BOOT_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((str(lab.management_address(node)), 22), 2) as link:
                if link.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise LabError(
        f"{node.name} of the laboratory {lab.name!r} does not answer ssh after {BOOT_S} s:"
        f" see {node_state(lab, node) / 'lxc.log'}."
    )


def state(lab: Lab, node: Node) -> str:
    """`running`, `stopped`, `frozen`…, or `absent`."""
    said = host.run(*_tool(lab, node, "info", "-sH"), check=False).strip().lower()
    return said or "absent"


def kill(lab: Lab, node: Node) -> None:
    """The power is off: no process of `node` got to say a word."""
    if state(lab, node) in ("running", "frozen"):
        host.run(*_tool(lab, node, "stop", "-k"))


def freeze(lab: Lab, node: Node, *, thaw: bool = False) -> None:
    """`node` hangs with all of its connections open, or goes on where it hung."""
    host.run(*_tool(lab, node, "unfreeze" if thaw else "freeze"))


def used_mb(lab: Lab, node: Node) -> tuple[int, int] | None:
    """MiB that `node`'s control group is charged with: (all, without the page cache)."""
    name = f"lxc.payload.{lab.container(node)}"
    for folder, all_of, cache in (
        (Path("/sys/fs/cgroup/memory") / name, "memory.usage_in_bytes", "total_cache"),
        (Path("/sys/fs/cgroup") / name, "memory.current", "file"),
    ):
        if (folder / all_of).exists():
            total = int((folder / all_of).read_text())
            fields = dict(
                line.split() for line in (folder / "memory.stat").read_text().splitlines()
            )
            return total >> 20, (total - int(fields.get(cache, 0))) >> 20
    return None


def destroy(lab: Lab) -> None:
    """No process, mount, bridge, table or file of `lab` is left."""
    host.need_root("Destroying a laboratory")
    for node in lab.nodes:
        kill(lab, node)
    with host.locked("host"):
        network.down(lab)
        if state_of(lab).is_dir():
            shutil.rmtree(state_of(lab))
        if host.STATE.is_dir() and not any(host.STATE.iterdir()):
            _end_lxcfs()
            host.STATE.rmdir()


def forget(lab: Lab, node: Node) -> None:
    """Nothing of `node` is left; the last one takes the laboratory's networks with it."""
    kill(lab, node)
    shutil.rmtree(node_state(lab, node), ignore_errors=True)
    left = [other for other in lab.nodes if node_state(lab, other).is_dir()]
    if not left:
        destroy(lab)


def _allow_watches() -> None:
    """Each systemd holds several inotify instances, all of them root's: 128 are soon used up."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text()) < LEAST_WATCHES:
        limit.write_text(f"{LEAST_WATCHES}\n")


def _serve_lxcfs() -> None:
    """lxcfs serves, so that a node sees its own memory and processors; ours is noted by its pid."""
    if (LXCFS / "proc/meminfo").exists() or not LXCFS.is_dir():
        return
    pid = host.STATE.with_suffix(".lxcfs")
    nowhere = subprocess.DEVNULL
    subprocess.Popen(
        ["lxcfs", "--pidfile", str(pid), str(LXCFS)],
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
        start_new_session=True,
    )
    for _ in range(50):
        if (LXCFS / "proc/meminfo").exists():
            return
        time.sleep(0.1)


def _end_lxcfs() -> None:
    """Our lxcfs ends, unless another container of the host looks through it."""
    pid = host.STATE.with_suffix(".lxcfs")
    if not pid.exists():
        return
    if _containers_run():
        host.say("lab: another container uses lxcfs, which stays")
        return
    host.run("kill", pid.read_text().strip(), check=False)
    pid.unlink()


def _containers_run() -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"[lxc monitor]"):
                return True
        except OSError:
            continue
    return False
