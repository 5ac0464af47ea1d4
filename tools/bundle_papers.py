"""What stands beside a bundle's files: a bill of materials (CycloneDX), and an audit of them.

An audit asks a service for known vulnerabilities. Where the service cannot be reached there is no
audit, and the file says so: an empty list would be a lie.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

AUDIT_LIMIT_S = 300
#: Ours; the index knows nothing of it.
OWN = "mesos-twisted"


@dataclass(frozen=True)
class Deb:
    """One Debian package of the bundle."""

    name: str
    version: str
    path: Path


def audit(requirements: Path, service: str) -> dict[str, object]:
    """What is known against the requirements, or why nobody could be asked."""
    with tempfile.TemporaryDirectory() as scratch:
        others = Path(scratch) / "requirements.txt"
        others.write_text(
            re.sub(rf"(?m)^{OWN}==.*(?:\n    --hash.*)+\n", "", requirements.read_text())
        )
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(others),
                   "--require-hashes", "--no-deps", "--disable-pip", "--format", "json",
                   "--progress-spinner", "off",
                   "--vulnerability-service", service, "--timeout", "15"]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_LIMIT_S)
        except subprocess.TimeoutExpired:
            return not_audited(f"no answer within {AUDIT_LIMIT_S} s", service)
    try:
        found: list[dict[str, object]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return not_audited(said[-1].strip() if said else f"exit {done.returncode}", service)
    return judged(found, service)


def judged(found: list[dict[str, object]], service: str) -> dict[str, object]:
    """The audit of these answers; a package the service did not know was not audited."""
    skipped = sorted(str(d["name"]) for d in found if "skip_reason" in d)
    bad = {str(d["name"]): d["vulns"] for d in found if d.get("vulns")}
    count = sum(len(v) for v in bad.values() if isinstance(v, list))
    if skipped and len(skipped) == len(found):
        why = f"none of the packages is known there ({found[0]['skip_reason']})"
        return not_audited(why, service)
    summary = f"{count} known vulnerabilities in {len(found) - len(skipped)} packages ({service})"
    if bad:
        summary += ": " + ", ".join(sorted(bad))
    if skipped:
        summary += f"; NOT audited: {', '.join(skipped)}"
    return {
        "audited": True, "summary": summary, "service": service, "at": _now(),
        "vulnerabilities": count, "skipped": skipped, "dependencies": found,
    }  # fmt: skip


def not_audited(why: str, service: str) -> dict[str, object]:
    """There is no audit."""
    return {
        "audited": False, "summary": f"NOT AUDITED: {why}", "service": service, "at": _now(),
        "vulnerabilities": None,
    }  # fmt: skip


def is_clean(audit: dict[str, object]) -> bool:
    """Everything was asked about, and nothing is known."""
    return bool(audit["audited"]) and audit["vulnerabilities"] == 0 and not audit.get("skipped")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def sbom(work: Path, wheels: Path, debs: Iterable[Deb], version: str, moment: int) -> None:
    """Afterwards `sbom.cdx.json` names every wheel and Debian package, with hashes and licences."""
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, _fingerprint(work)))
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    components: dict[str, Component] = {}
    needs: dict[str, list[str]] = {}
    for path in sorted(wheels.glob("*.whl")):
        facts = metadata(path)
        name = canonicalize_name(facts["Name"])
        if name not in components:
            components[name] = _python_component(name, facts)
            needs[name] = facts.get_all("Requires-Dist") or []
        components[name].external_references.add(_file(path, work))
    own = components.pop(OWN)
    own.type = ComponentType.APPLICATION
    bom.metadata.component = own
    for name in sorted(components):
        bom.components.add(components[name])
    everything = {**components, OWN: own}
    for name, component in everything.items():
        wanted = {canonicalize_name(Requirement(n).name) for n in needs[name] if _applies(n)}
        bom.register_dependency(component, [everything[n] for n in wanted & everything.keys()])
    for deb in debs:
        url = PackageURL("deb", "debian", deb.name, deb.version, {"distro": "bookworm"})
        component = Component(
            name=deb.name,
            version=deb.version,
            purl=url,
            bom_ref=str(url),
            type=ComponentType.LIBRARY,
        )
        component.external_references.add(_file(deb.path, work))
        bom.components.add(component)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise AssertionError(f"The bill of materials is not valid CycloneDX: {problem}")
    (work / "sbom.cdx.json").write_text(text + "\n")


def metadata(wheel: Path) -> Message:
    """What a wheel says of itself."""
    with zipfile.ZipFile(wheel) as content:
        (name,) = (n for n in content.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        return BytesParser().parsebytes(content.read(name))


def _python_component(name: str, facts: Message) -> Component:
    url = PackageURL("pypi", None, name, facts["Version"])
    component = Component(
        name=name,
        version=facts["Version"],
        description=facts["Summary"],
        purl=url,
        bom_ref=str(url),
        type=ComponentType.LIBRARY,
    )
    said = facts["License-Expression"] or facts["License"] or ""
    if said and "\n" not in said:
        component.licenses.add(LicenseFactory().make_from_string(said))
    return component


def _file(path: Path, work: Path) -> ExternalReference:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(path.relative_to(work))),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )


def _applies(text: str) -> bool:
    marker = Requirement(text).marker
    return marker is None or marker.evaluate({"extra": ""})


def _fingerprint(work: Path) -> str:
    """Names the bundle's files, so that the same files have the same serial number."""
    digest = hashlib.sha256()
    for path in sorted(work.rglob("*")):
        if path.is_file() and path.name != "audit.json":
            digest.update(str(path.relative_to(work)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
