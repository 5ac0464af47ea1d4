"""Makes the bundle a cluster's hosts are installed from: all they need, checked by hash.

    wheels/                       for each wanted Python, ours with the compiled launcher, and pip's
    requirements-<version>.txt    what is installed, with hashes
    install.sh                    checks the bundle and installs it; needs only python3
    debs/  install-debs.sh        on demand: ZooKeeper and a Java runtime for Debian 12
    sbom.cdx.json  audit.json     what is in it, and what is known against it
    VERSION  MANIFEST.sha256      the hash of every file but itself

The control host needs a package index once; what was fetched is kept in dist/cache, and hosts
need nothing but the bundle.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bundle_audit
import bundle_debs
import bundle_sbom
import bundle_wheels
from bundle_wheels import BundleError

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = "3.11,3.12,3.13"


def main() -> int:
    """The exit status: 0 made, 1 not made, 3 made and `--strict` wants more of the audit."""
    arguments = parse(sys.argv[1:])
    try:
        return make(arguments)
    except BundleError as problem:
        print(f"./bundle: {problem}", file=sys.stderr)
        return 1


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./bundle", description="Make what a cluster's hosts are installed from."
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "bundle", metavar="DIR")
    parser.add_argument("--cache", type=Path, default=ROOT / "dist" / "cache", metavar="DIR")
    parser.add_argument(
        "--python", default=PYTHONS, metavar="3.X,…", help=f"the hosts' Pythons [{PYTHONS}]"
    )
    parser.add_argument("--ref", help="build this git revision instead of the working tree")
    parser.add_argument("--version", help="give the package this version instead of its own")
    parser.add_argument(
        "--debs",
        choices=["zookeeper"],
        action="append",
        default=[],
        help="also packages for Debian 12 hosts without a mirror of their own",
    )
    parser.add_argument("--offline", action="store_true", help="ask no index: all from the cache")
    parser.add_argument("--no-audit", action="store_true", help="do not ask what is known against")
    parser.add_argument("--audit-service", choices=["pypi", "osv"], default="pypi")
    parser.add_argument(
        "--strict", action="store_true", help="exit 3 when the audit finds something or cannot be"
    )
    return parser.parse_args(words)


def make(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out.resolve()
    if out.exists() and not (out / "MANIFEST.sha256").exists() and any(out.iterdir()):
        raise BundleError(f"{out} is not a bundle; it is left as it is, choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=out.parent) as scratch:
        work = Path(scratch) / "bundle"
        wheels = work / "wheels"
        wheels.mkdir(parents=True)
        source = bundle_wheels.source(ROOT, Path(scratch) / "source", arguments.ref)
        version = bundle_wheels.set_version(source, arguments.version)
        ours = bundle_wheels.build(source, wheels)
        launcher = bundle_wheels.add_launcher(ours, source, Path(scratch))
        pythons = arguments.python.split(",")
        locked = bundle_wheels.wanted(source)
        bundle_wheels.fetch(locked, pythons, wheels, arguments.cache, offline=arguments.offline)
        requirements = work / f"requirements-{version}.txt"
        requirements.write_text(bundle_wheels.requirements(wheels))
        (work / "VERSION").write_text(version + "\n")
        shutil.copyfile(ROOT / "tools" / "bundle_install.sh", work / "install.sh")
        (work / "install.sh").chmod(0o755)
        debs = []
        if "zookeeper" in arguments.debs:
            debs = bundle_debs.zookeeper(work / "debs", arguments.cache, arguments.offline)
            shutil.copyfile(ROOT / "tools" / "bundle_install_debs.sh", work / "install-debs.sh")
            (work / "install-debs.sh").chmod(0o755)
        if arguments.no_audit:
            audit = bundle_audit.not_audited("--no-audit was given", arguments.audit_service)
        else:
            audit = bundle_audit.audit(requirements, arguments.audit_service)
        bundle_audit.write_json(work / "audit.json", audit)
        bundle_sbom.write(work, wheels, debs, version, moment(source))
        manifest = write_manifest(work)
        replace(work, out)
    tell(out, version, pythons, launcher, audit, manifest)
    return 3 if arguments.strict and not bundle_audit.is_clean(audit) else 0


def moment(source: Path) -> int:
    """Seconds since the epoch that this source is of: the same source gives the same bundle."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True
    )
    return int(done.stdout) if done.returncode == 0 else bundle_wheels.EPOCH


def write_manifest(work: Path) -> str:
    """Afterwards MANIFEST.sha256 has every file, as sha256sum -c reads it; gives its own hash."""
    lines = []
    for path in sorted(work.rglob("*")):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{digest}  {path.relative_to(work)}\n")
    content = "".join(lines)
    (work / "MANIFEST.sha256").write_text(content)
    return hashlib.sha256(content.encode()).hexdigest()


def replace(work: Path, out: Path) -> None:
    """The new bundle stands where the old one stood."""
    old = work.parent / "old"
    if out.exists():
        out.rename(old)
    work.rename(out)


def tell(
    out: Path,
    version: str,
    pythons: list[str],
    launcher: str,
    audit: dict[str, object],
    manifest: str,
) -> None:
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    count = len(list((out / "wheels").iterdir()))
    debs = len(list((out / "debs").glob("*.deb"))) if (out / "debs").exists() else 0
    print(f"{out}: mesos-twisted {version}, {count} wheels for Python {', '.join(pythons)}, "
          f"{debs} Debian packages, {size / 1e6:.0f} MB")  # fmt: skip
    print(f"launcher: {launcher}")
    print(f"audit: {audit['summary']}")
    print(f"SHA-256 of MANIFEST.sha256: {manifest}")


if __name__ == "__main__":
    sys.exit(main())
