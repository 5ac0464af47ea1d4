"""The box for Vagrant's lxc provider: a few small files, and the root filesystem stays where it is.

vagrant-lxc wants a box with a tarball that it unpacks for every container. This one brings its own
template, which unpacks nothing: the container's configuration, included by the Vagrantfile, lays an
overlay on the root filesystem of the cache. So the box never grows old and five nodes take no more
room than what they change.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

from tools.lab import host

#: Changed with any of the files below, or Vagrant goes on with the box it knows.
NAME = "mesos-twisted-lab-1"
TEMPLATE = r"""#!/bin/sh
# Called by lxc-create. Nothing to unpack; the configuration comes with the Vagrantfile's include.
set -eu
for word in "$@"; do
    case $word in --path=*) path=${word#--path=} ;; esac
done
[ -n "${path:-}" ] || while [ $# -gt 0 ]; do
    case $1 in --path) path=$2; shift 2 ;; *) shift ;; esac
done
echo "# The laboratory's part is included below." > "$path/config"
"""


def path() -> Path:
    """The box's file in the cache."""
    return host.CACHE / f"{NAME}.box"


def make() -> Path:
    """The box is there; its file is returned."""
    wanted = path()
    if wanted.exists():
        return wanted
    host.CACHE.mkdir(parents=True, exist_ok=True)
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w:gz").close()
    files = {
        "metadata.json": json.dumps({"provider": "lxc", "version": "1.0.0"}).encode(),
        "lxc-config": b"",
        "lxc-template": TEMPLATE.encode(),
        "rootfs.tar.gz": empty.getvalue(),
    }
    partial = wanted.with_suffix(".partial")
    with tarfile.open(partial, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if name == "lxc-template" else 0o644
            archive.addfile(entry, io.BytesIO(content))
    partial.rename(wanted)
    return wanted


def forget(vagrant_home: Path) -> None:
    """Vagrant does not know the box any more."""
    shutil.rmtree(vagrant_home / "boxes" / NAME, ignore_errors=True)
