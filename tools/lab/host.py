"""The machine the laboratory stands on: its packages, its rights, its commands.

Everything that runs another program goes through here, so that a failure reads as a sentence with
what the program said, not as a traceback.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.lab.errors import LabError

#: What outlives a laboratory: root filesystems, and the key that opens the nodes.
CACHE = Path(os.environ.get("LAB_CACHE", "/var/cache/mesos-twisted-lab"))
#: What lives as long as its laboratory: a directory for each, with all of its nodes.
STATE = Path("/var/lib/mesos-twisted-lab")
#: Program to the package of the distribution that brings it.
PROGRAMS: Mapping[str, str] = {
    "mmdebstrap": "mmdebstrap",
    "lxc-start": "lxc",
    "lxcfs": "lxcfs",
    "ip": "iproute2",
    "nft": "nftables",
    "ssh-keygen": "openssh-client",
    "sudo": "sudo",
}
VAGRANT_PROGRAMS: Mapping[str, str] = {"vagrant": "vagrant", "redir": "redir"}


def say(text: str) -> None:
    """Tell the engineer; standard output is kept for answers."""
    print(text, file=sys.stderr, flush=True)


def run(*command: str | Path, check: bool = True, text: str | None = None) -> str:
    """Run `command` to its end and return its output; LabError with its words when it fails."""
    done = subprocess.run(
        [str(word) for word in command], input=text, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        shown = " ".join(str(word) for word in command)[:200]
        raise LabError(f"`{shown}` failed with status {done.returncode}: {said}")
    return done.stdout


def succeeds(*command: str | Path) -> bool:
    """Whether `command` ends well; what it says is dropped."""
    return not subprocess.run(
        [str(word) for word in command], capture_output=True, check=False
    ).returncode


def need_root(what: str) -> None:
    """LabError when we are not root."""
    if os.geteuid():
        raise LabError(
            f"{what} needs root, for containers, bridges and packages: say `sudo -E ./lab …`."
        )


def install(programs: Mapping[str, str] = PROGRAMS, extra: Sequence[str] = ()) -> None:
    """All of `programs` and the packages `extra` are there; what is missing is installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {
        package for program, package in programs.items() if not shutil.which(program, path=path)
    }
    missing |= {package for package in extra if not _installed(package)}
    if not missing:
        return
    names = sorted(missing)
    need_root(f"Installing {', '.join(names)}")
    if not shutil.which("apt-get"):
        raise LabError(
            f"The lxc laboratory installs {', '.join(names)} by apt, and this host has none: use"
            " the provider virtualbox or libvirt, or a Debian or Ubuntu host."
        )
    say(f"lab: installing {', '.join(names)}")
    run("apt-get", "-q", "update")
    run(
        "env", "DEBIAN_FRONTEND=noninteractive",
        "apt-get", "-qy", "install", "--no-install-recommends", *names,
    )  # fmt: skip


def _installed(package: str) -> bool:
    return run("dpkg-query", "-W", "-f", "${Status}", package, check=False).endswith(" installed")


def release() -> Mapping[str, str]:
    """The fields of /etc/os-release."""
    fields = {}
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        fields[key] = value.strip('"')
    return fields


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time inside `name`, over all laboratories of the host."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
