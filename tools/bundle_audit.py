"""What is known against a bundle's wheels.

An audit asks a service for known vulnerabilities. Where the service cannot be reached there is no
audit, and the file says so: an empty list would be a lie.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_S = 300
#: Ours; the index knows nothing of it.
OWN = "mesos-twisted"


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
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return not_audited(f"no answer within {LIMIT_S} s", service)
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


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
