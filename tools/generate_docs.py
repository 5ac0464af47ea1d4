"""Write the reference pages that are made from the source: every flag of master and agent.

python tools/generate_docs.py            write docs/reference/
python tools/generate_docs.py --check    exit 1 when a page is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from mesos_twisted.agent import config as agent
from mesos_twisted.config import declared
from mesos_twisted.containerizer.core import lifecycle
from mesos_twisted.master import config as master
from mesos_twisted.master.core import tasks
from mesos_twisted.protocol.states import TERMINAL

DOCS = Path(__file__).resolve().parent.parent / "docs"


def flags(
    title: str, kind: type, without_effect: Mapping[str, str], refused: Mapping[str, str]
) -> str:
    """One page: every flag, and those of Mesos that are without effect or refused."""
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
    lines += ["", "Refused, unless they are switched off, since their effect would be missed:", ""]
    lines += [f"- `--{name}`: {why}" for name, why in sorted(refused.items())]
    return "\n".join(lines) + "\n"


def drawing(title: str, text: str, edges: Iterable[tuple[str, str, str]]) -> str:
    """One page: a machine as a diagram, an edge for each (from, to, label)."""
    lines = [
        f"# {title}",
        "",
        "Made by tools/generate_docs.py from the table in the code.",
        "",
        text,
    ]
    lines += ["", "```mermaid", "stateDiagram-v2"]
    lines += [f"    {a} --> {b}" + (f": {label}" if label else "") for a, b, label in edges]
    return "\n".join([*lines, "```", ""])


def container_machine() -> str:
    """The life of a container."""
    edges = [
        (before.name, after.name, event.value)
        for (before, event), after in lifecycle.TRANSITIONS.items()
        if before is not after
    ]
    text = "An event that a state does not allow is refused, and the state stays."
    return drawing("A container", f"`containerizer/core/lifecycle.py`. {text}", edges)


def task_machine() -> str:
    """A task as the master keeps it."""
    edges = [
        (before.value, after.value, "")
        for (before, _), after in tasks.TRANSITIONS.items()
        if before is not after
    ]
    text = (
        "`master/core/tasks.py`. What the agent reports last is the state until a terminal one is "
        "reached, and that one stays: " + ", ".join(sorted(s.value for s in TERMINAL)) + "."
    )
    return drawing("A task, as the master keeps it", text, sorted(set(edges)))


def main(arguments: list[str]) -> int:
    """Write or check every page."""
    pages = {
        "reference/master-flags.md": flags(
            "master", master.MasterConfig, master.WITHOUT_EFFECT, master.REFUSED
        ),
        "reference/agent-flags.md": flags(
            "agent", agent.AgentConfig, agent.WITHOUT_EFFECT, agent.REFUSED
        ),
        "state-machines/container.md": container_machine(),
        "state-machines/task.md": task_machine(),
    }
    stale = [n for n, t in pages.items() if not (DOCS / n).exists() or (DOCS / n).read_text() != t]
    if "--check" in arguments:
        if stale:
            print(f"Stale: {', '.join(stale)}; run python tools/generate_docs.py")
        return int(bool(stale))
    for name, text in pages.items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
