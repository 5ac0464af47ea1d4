"""The nodes' root filesystem: Debian or Ubuntu with systemd, ssh and Python, and nothing of ours.

`base` is what mmdebstrap makes of the distribution's packages; `golden` is a copy of it with Java
and ZooKeeper's packages in it, so that three nodes need not unpack them. Each is kept below a key,
a hash of everything that goes in, and is made again only when that changes. A directory that is
there is whole: it gets its name when it is finished.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from tools.apt_sources import node_sources, of_host
from tools.lab import host
from tools.lab.errors import LabError

PACKAGES = (
    "systemd systemd-sysv dbus libpam-systemd udev openssh-server openssh-client python3"
    " python3-apt sudo iproute2 iputils-ping libnss-myhostname nftables procps psmisc"
    " ca-certificates curl less netcat-openbsd kmod rsync"
).split()
#: Java as it is found on a server; ZooKeeper's own package would bring a desktop's.
GOLDEN_PACKAGES = ("openjdk-17-jre-headless", "libzookeeper-java")
#: Changed when a file laid into a root filesystem changes its meaning and not its text.
EDITION = "1"

#: Run by a shell with the root filesystem's path as $1. Each line is there because its absence
#: hurt: a hostname file goes before the container's name; without udev, what waits for devices
#: waits for ever; Java's package fails without the directories of manuals; a fresh list of packages
#: is not asked for while the old one looks young.
SHAPE = r"""
set -eu
root=$1
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"
for n in 1 2 3 4 5 6 7 8; do mkdir -p "$root/usr/share/man/man$n"; done
for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-udev-trigger.service systemd-udev-settle.service systemd-modules-load.service \
    systemd-networkd-wait-online.service sys-kernel-debug.mount sys-kernel-tracing.mount \
    dev-hugepages.mount dev-mqueue.mount getty.target console-getty.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/etc/systemd/network" "$root/etc/ssh/sshd_config.d" "$root/etc/sudoers.d"
printf '[Match]\nName=eth* host*\n[Link]\nUnmanaged=yes\n' \
    > "$root/etc/systemd/network/10-unmanaged.network"
printf 'UseDNS no\nPasswordAuthentication no\n' > "$root/etc/ssh/sshd_config.d/lab.conf"
chroot "$root" systemctl enable systemd-networkd.service ssh.service
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash vagrant
: > "$root/etc/default/locale"
printf 'vagrant ALL=(ALL) NOPASSWD: ALL\n' > "$root/etc/sudoers.d/vagrant"
chmod 0440 "$root/etc/sudoers.d/vagrant"
chroot "$root" update-ca-certificates
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
mkdir -p "$root/var/lib/apt/lists/partial"
touch -d @0 "$root/var/lib/apt/lists"
"""

GOLDEN = r"""
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"
cp --dereference "$RESOLV" "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get -q update
chroot "$root" apt-get -qy install --no-install-recommends "$@"
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
mkdir -p "$root/var/lib/apt/lists/partial"
touch -d @0 "$root/var/lib/apt/lists"
"""

#: In a mount namespace of its own: whatever happens, no mount is left behind on the host.
APART = ("unshare", "--mount", "--fork", "--kill-child")
AUTHORITIES = Path("/usr/local/share/ca-certificates")
#: Nobody reads manuals in a node, and a node that loses power while it installs is thrown away.
DPKG = (
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=force-unsafe-io",
)


def key_file() -> Path:
    """The private key that opens every node of this host's laboratories; made when absent."""
    path = host.CACHE / "ssh" / "id_ed25519"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        host.run(
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mesos-twisted-lab", "-f", path
        )
    return path


def resolv_conf() -> Path:
    """The host's name servers as a node can reach them: not a resolver on the host's loopback."""
    behind = Path("/run/systemd/resolve/resolv.conf")
    return behind if behind.exists() else Path("/etc/resolv.conf")


def _authorities() -> list[Path]:
    return sorted(AUTHORITIES.glob("*.crt"))


def _sources() -> tuple[str, str]:
    """The codename of the host's distribution, and the sources for nodes of it."""
    codename = host.release().get("VERSION_CODENAME", "")
    try:
        return codename, node_sources(of_host(), codename)
    except LookupError as error:
        raise LabError(str(error)) from None


def key(golden: bool) -> str:
    """The hash of everything that goes into a root filesystem, the mirror's place excepted."""
    parts = [EDITION, host.release().get("VERSION_CODENAME", ""), os.uname().machine, SHAPE]
    parts += [*PACKAGES, *DPKG, *(path.read_text() for path in _authorities())]
    if golden:
        parts += [GOLDEN, *GOLDEN_PACKAGES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def path_of(golden: bool) -> Path:
    """Where the root filesystem is, or will be."""
    return host.CACHE / f"{'golden' if golden else 'base'}-{key(golden)}"


def make(golden: bool) -> Path:
    """The root filesystem's directory, made when it is not there: minutes the first time."""
    wanted = path_of(golden)
    if wanted.is_dir():
        return wanted
    host.need_root("Making a root filesystem")
    host.install()
    with host.locked("rootfs"):
        base = path_of(golden=False)
        if not base.is_dir():
            _finish(base, _make_base)
        if golden and not wanted.is_dir():
            _finish(wanted, _make_golden)
    return wanted


def _finish(wanted: Path, maker: Callable[[Path], None]) -> None:
    """`maker` fills a directory beside `wanted`, which then takes its name."""
    partial = wanted.with_name(wanted.name + ".partial")
    if any(line.split()[1].startswith(f"{partial}/") for line in _mounts()):
        raise LabError(f"Something is mounted below {partial}: unmount it, then try again.")
    shutil.rmtree(partial, ignore_errors=True)
    began = time.monotonic()
    host.say(f"lab: making {wanted} (some minutes, once)")
    maker(partial)
    partial.rename(wanted)
    host.say(f"lab: {wanted} was made in {time.monotonic() - began:.0f} s")


def _mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()


def _make_base(root: Path) -> None:
    codename, sources = _sources()
    listing = host.CACHE / "nodes.sources"
    listing.write_text(sources)
    shape = host.CACHE / "shape.sh"
    copies = "".join(
        f'cp {path} "$root"/usr/local/share/ca-certificates/\n' for path in _authorities()
    )
    head, tail = SHAPE.split("root=$1\n")
    shape.write_text(
        f'{head}root=$1\nmkdir -p "$root"/usr/local/share/ca-certificates\n{copies}{tail}'
    )
    host.run(
        *APART, "mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase",
        f"--include={','.join(PACKAGES)}", *DPKG,
        f"--customize-hook=sh {shape} \"$1\"", codename, root, listing,
    )  # fmt: skip


def _make_golden(root: Path) -> None:
    base = path_of(golden=False)
    host.run("cp", "--archive", "--reflink=auto", base, root)
    script = host.CACHE / "golden.sh"
    script.write_text(GOLDEN)
    host.run(
        "env", f"RESOLV={resolv_conf()}",
        *APART, "sh", script, root, *GOLDEN_PACKAGES,
    )  # fmt: skip


def clean(used: Collection[Path]) -> list[Path]:
    """Of the cache only the root filesystems `used` are left, and the key to them; what went."""
    host.need_root("Emptying the cache")
    if not host.CACHE.is_dir():
        return []
    kept = {*used, key_file().parent} if used else set()
    gone = sorted(path for path in host.CACHE.iterdir() if path not in kept)
    for path in gone:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return gone
