"""Debian packages for hosts without a mirror: what Debian 12's ZooKeeper needs, by apt's own tools.

apt is asked in a directory of its own, about a host that has only what every Debian has; so the
closure is neither that of this control host nor a guess. Debian's `zookeeper` wants `default-jre`,
with windows and sound; a package of ours provides that name by the runtime without them.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from apt_sources import node_sources, of_host
from bundle_wheels import BundleError

#: The release whose packages they are: Debian 12.
RELEASE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: netty carries ZooKeeper's TLS and is only suggested.
WANTED = ("zookeeper", "default-jre-headless", "libnetty-java")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
HEADLESS = "mesos-twisted-headless-jre"
CONTROL = f"""Package: {HEADLESS}
Version: 1
Architecture: all
Maintainer: mesos-twisted
Provides: default-jre
Conflicts: default-jre
Depends: default-jre-headless
Priority: optional
Section: java
Description: Java runtime without windows and sound, for servers
 Debian's zookeeper depends on default-jre and runs without it.
"""


@dataclass(frozen=True)
class Deb:
    """One Debian package of the bundle."""

    name: str
    version: str
    path: Path


@dataclass(frozen=True)
class Apt:
    """apt in a directory of its own: its lists, its archives, and the host it is asked about."""

    root: Path

    def words(self, status: Path, *words: str) -> list[str]:
        root = self.root
        options = {
            "Dir::Etc::sourcelist": root / "debian.sources",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::Etc::preferences": "-",
            "Dir::State": root / "state",
            "Dir::State::status": status,
            "Dir::State::extended_states": root / "extended",
            "Dir::Cache": root / "cache",
            "Dir::Log": root / "log",
            "APT::Architecture": _architecture(),
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "true",
        }
        given = [f"-o{name}={value}" for name, value in options.items()]
        return [words[0], *given, *words[1:]]

    def run(self, status: Path, *words: str) -> str:
        done = subprocess.run(self.words(status, *words), capture_output=True, text=True)
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise BundleError(f"{' '.join(words[:3])} failed; it said:\n{said}")
        return done.stdout


def zookeeper(target: Path, cache: Path, offline: bool) -> list[Deb]:
    """Afterwards `target` holds the closure, an index of it for apt, and SHA256SUMS."""
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise BundleError(f"--debs needs {tool}: make the bundle on Debian or Ubuntu.")
    if not KEYRING.exists():
        raise BundleError(f"{KEYRING} is missing: apt-get install debian-archive-keyring.")
    apt = Apt(cache.resolve() / "apt")
    for name in ("state/lists/partial", "cache/archives/partial", "log"):
        (apt.root / name).mkdir(parents=True, exist_ok=True)
    (apt.root / "debian.sources").write_text(_sources())
    nothing, base = apt.root / "nothing", apt.root / "base"
    nothing.write_text("")
    if not offline:
        apt.run(nothing, "apt-get", "update", "-qq")
    base.write_text(installed(_minimal(apt, nothing)))
    target.mkdir()
    headless = _headless(target, apt.root)
    wanted = [*WANTED, str(headless)]
    apt.run(base, "apt-get", "install", "-y", "-qq", "--download-only", *wanted)
    chosen = parse_plan(apt.run(base, "apt-get", "install", "-s", *wanted))
    chosen = [one for one in chosen if one[0] != HEADLESS]
    debs, index = [Deb(HEADLESS, "1", headless)], [_own_stanza(headless)]
    stanzas = _show(apt, base, chosen)
    for name, version, architecture in chosen:
        stanza = stanzas[name, version]
        kept = f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        # A colon in a file name is trouble wherever it is copied to.
        path = target / kept.replace("%3a", "-")
        shutil.copyfile(apt.root / "cache" / "archives" / kept, path)
        index.append(local(stanza, path))
        debs.append(Deb(name, version, path))
    (target / "Packages").write_text("\n\n".join(index) + "\n")
    sums = [f"{_sha256(deb.path)}  {deb.path.name}\n" for deb in debs]
    (target / "SHA256SUMS").write_text("".join(sorted(sums, key=lambda line: line.split()[1])))
    return debs


def parse_plan(text: str) -> list[tuple[str, str, str]]:
    """(name, version, architecture) of each package that `apt-get -s` would install."""
    found = re.findall(r"(?m)^Inst (\S+) (?:\[\S+\] )?\((\S+) .*\[(\w+)\]\)", text)
    return sorted((name.partition(":")[0], version, machine) for name, version, machine in found)


def local(stanza: str, path: Path) -> str:
    """The stanza of a package for an index beside it. Raises BundleError when the file is not the
    one that the archive signed for."""
    promised = re.search(r"(?m)^SHA256: (\S+)$", stanza)
    if promised is None or promised[1] != _sha256(path):
        raise BundleError(f"{path.name} is not what Debian's index promises; empty the cache.")
    return re.sub(r"(?m)^Filename: .*$", f"Filename: ./{path.name}", stanza)


def installed(stanzas: list[str]) -> str:
    """A dpkg status in which these packages are installed."""
    return "".join(
        re.sub(r"(?m)^(Package: .*)$", r"\1\nStatus: install ok installed", stanza.strip()) + "\n\n"
        for stanza in stanzas
    )


def required(available: str) -> list[str]:
    """The names of those packages that every Debian has."""
    stanzas = available.split("\n\n")
    return sorted(
        {
            stanza.split("\n", 1)[0].removeprefix("Package: ")
            for stanza in (s.strip() for s in stanzas)
            if re.search(r"(?m)^(Priority: required|Essential: yes)$", stanza)
        }
    )


def _minimal(apt: Apt, nothing: Path) -> list[str]:
    names = required(apt.run(nothing, "apt-cache", "dumpavail"))
    plan = parse_plan(apt.run(nothing, "apt-get", "install", "-s", "apt", *names))
    return list(_show(apt, nothing, plan).values())


def _show(apt: Apt, status: Path, plan: list[tuple[str, str, str]]) -> dict[tuple[str, str], str]:
    """The stanza of each (name, version); all in one question, since each reads every list."""
    wanted = [f"{name}={version}" for name, version, _ in plan]
    found = {}
    for stanza in apt.run(status, "apt-cache", "show", *wanted).strip().split("\n\n"):
        name, version = (
            re.search(rf"(?m)^{field}: (\S+)$", stanza) for field in ("Package", "Version")
        )
        if name is not None and version is not None and "\nFilename: " in stanza:
            found.setdefault((name[1], version[1]), stanza)
    return found


def _headless(target: Path, scratch: Path) -> Path:
    tree = scratch / HEADLESS
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (tree / "DEBIAN" / "control").write_text(CONTROL)
    made = target / f"{HEADLESS}_1_all.deb"
    words = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(made)]
    # The same package has the same bytes.
    done = subprocess.run(words, capture_output=True, text=True, env={
        "PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "315532800",
    })  # fmt: skip
    if done.returncode:
        raise BundleError(f"dpkg-deb failed; it said:\n{done.stderr.strip()}")
    return made


def _own_stanza(path: Path) -> str:
    size = path.stat().st_size
    return f"{CONTROL}Filename: ./{path.name}\nSize: {size}\nSHA256: {_sha256(path)}"


def _sources() -> str:
    try:
        found = node_sources(of_host(), RELEASE)
    except LookupError as error:
        raise BundleError(f"--debs makes packages for Debian 12. {error}") from None
    stanzas = found.strip().split("\n\n")
    key = f"\nSigned-By: {KEYRING}"
    return "\n\n".join(s if "\nSigned-By: " in s else s + key for s in stanzas) + "\n"


def _architecture() -> str:
    try:
        return MACHINES[platform.machine()]
    except KeyError:
        raise BundleError(f"--debs does not know machines such as {platform.machine()}.") from None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
