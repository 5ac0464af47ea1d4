"""Nodes install from the host's own sources, and only from the distribution's."""

from __future__ import annotations

import pytest

from tools.apt_sources import node_sources

DEB822 = """\
# ours
Types: deb deb-src
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.invalid/debian-security
Suites: bookworm-security
Components: main
Enabled: no
"""


def test_stanzas_of_the_distribution() -> None:
    """Suites of other releases and disabled stanzas stay out; the key stays in."""
    assert node_sources([("debian.sources", DEB822)], "bookworm") == (
        "Types: deb\nURIs: http://mirror.invalid/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_one_line_entries() -> None:
    """Options are read, comments and other repositories are not."""
    text = (
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian bookworm main contrib # x\n"
        "deb-src http://mirror.invalid/debian bookworm main\n"
        "# deb http://mirror.invalid/debian bookworm-updates main\n"
        "deb https://other.invalid/apt stable main\n"
    )
    assert node_sources([("sources.list", text)], "bookworm") == (
        "Types: deb\nURIs: http://mirror.invalid/debian\nSuites: bookworm\n"
        "Components: main contrib\nSigned-By: /k.gpg\n"
    )


def test_a_host_without_the_distributions_sources() -> None:
    """It is told so."""
    with pytest.raises(LookupError, match="offers bookworm"):
        node_sources([("node.list", "deb https://other.invalid/apt stable main\n")], "bookworm")
