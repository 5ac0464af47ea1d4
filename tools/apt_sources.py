"""Where packages for other hosts come from: this host's sources, and of these a distribution's.

No mirror is named anywhere in the project; a host that installs packages has one, and what serves
the host serves its nodes and its bundles. What is fetched, and what for, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)")


def of_host() -> list[tuple[str, str]]:
    """The (name, content) of this host's source files."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    return [
        (path.name, path.read_text())
        for path in files
        if path.suffix in (".list", ".sources") and path.is_file()
    ]


def _stanzas(text: str) -> Iterable[dict[str, str]]:
    """The stanzas of a deb822 file, field names in small letters."""
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace() and last:
                fields[last] += "\n" + line
            elif ":" in line:
                last, value = line.split(":", 1)
                last = last.strip().lower()
                fields[last] = value.strip()
        if fields:
            yield fields


def _lines(text: str) -> Iterable[dict[str, str]]:
    """The entries of a one-line file as stanzas; `deb-src` is not asked for."""
    for line in text.splitlines():
        found = ONE_LINE.match(line.split("#", 1)[0].strip())
        if not found:
            continue
        stanza = {"types": "deb", "uris": found[2], "suites": found[3], "components": found[4]}
        for option in (found[1] or "").split():
            if option.startswith("signed-by="):
                stanza["signed-by"] = option.removeprefix("signed-by=")
        yield stanza


def node_sources(files: Iterable[tuple[str, str]], codename: str) -> str:
    """The deb822 text for hosts of `codename`, from the (name, content) of the host's source files.

    A suite counts as the distribution's when it is the codename or begins with it and a dash. Other
    repositories of the host stay out. Raises LookupError when nothing is left.
    """
    found: dict[str, str] = {}
    for name, text in files:
        for stanza in _stanzas(text) if name.endswith(".sources") else _lines(text):
            suites = [
                suite
                for suite in stanza.get("suites", "").split()
                if suite == codename or suite.startswith(codename + "-")
            ]
            types = stanza.get("types", "").split()
            if not suites or "deb" not in types or stanza.get("enabled", "yes").lower() == "no":
                continue
            lines = ["Types: deb", f"URIs: {stanza['uris']}", f"Suites: {' '.join(suites)}"]
            lines.append(f"Components: {stanza.get('components', 'main')}")
            if "signed-by" in stanza:
                lines.append(f"Signed-By: {stanza['signed-by']}")
            found["\n".join(lines)] = name
    if not found:
        raise LookupError(
            f"No apt source of this host offers {codename}: packages are taken from the host's own"
            " sources, below /etc/apt."
        )
    return "\n\n".join(found) + "\n"
