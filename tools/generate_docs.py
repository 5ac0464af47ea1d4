"""Write the reference pages that are made from the source: every flag of master and agent.

python tools/generate_docs.py            write docs/reference/
python tools/generate_docs.py --check    exit 1 when a page is stale
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from mesos_twisted.agent import config as agent
from mesos_twisted.config import declared
from mesos_twisted.master import config as master

DOCS = Path(__file__).resolve().parent.parent / "docs" / "reference"


def flags(title: str, kind: type, without_effect: Mapping[str, str]) -> str:
    """One page: every flag, and those of Mesos that are accepted without effect."""
    lines = [
        f"# Flags of the {title}",
        "",
        "Made by tools/generate_docs.py. Each may also be set as `MESOS_NAME` in the environment",
        "or as `name = value` in the file that `--config` names.",
        "",
        "| flag | kind | default | meaning |",
        "|---|---|---|---|",
    ]
    for item in declared(kind):
        default = f"`{item.default_text}`" if item.default_text else ""
        default = default.replace("|", "\\|")
        lines.append(f"| `--{item.name}` | {item.kind.name} | {default} | {item.help} |")
    lines += ["", "Accepted without effect, so that an old command line still starts:", ""]
    lines += [f"- `--{name}`: {why}" for name, why in sorted(without_effect.items())]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check every page."""
    pages = {
        "master-flags.md": flags("master", master.MasterConfig, master.WITHOUT_EFFECT),
        "agent-flags.md": flags("agent", agent.AgentConfig, agent.WITHOUT_EFFECT),
    }
    stale = [n for n, t in pages.items() if not (DOCS / n).exists() or (DOCS / n).read_text() != t]
    if "--check" in arguments:
        if stale:
            print(f"Stale: {', '.join(stale)}; run python tools/generate_docs.py")
        return int(bool(stale))
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (DOCS / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
