"""A bundle's bill of materials (CycloneDX): every wheel and Debian package, with its hash."""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from bundle_debs import Deb
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

#: Ours; the index knows nothing of it.
OWN = "mesos-twisted"


def write(work: Path, wheels: Path, debs: Iterable[Deb], version: str, moment: int) -> None:
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
