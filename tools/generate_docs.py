"""Write the reference pages that are made from the source: flags, machines, and roles' variables.

python tools/generate_docs.py            write docs/reference/, docs/state-machines/, roles' README
python tools/generate_docs.py --check    exit 1 when a page is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mesos_twisted.agent import config as agent
from mesos_twisted.config import declared
from mesos_twisted.containerizer.core import lifecycle
from mesos_twisted.master import config as master
from mesos_twisted.master.core import tasks
from mesos_twisted.protocol.states import TERMINAL

ROOT = Path(__file__).resolve().parent.parent
#: Between these lines of a role's README its variables stand.
VARIABLES = ("<!-- variables -->\n", "<!-- /variables -->\n")


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


def shown(value: object) -> str:
    """A default as a cell shows it."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "`" + text.replace("|", "\\|") + "`"


def variables(specs: Mapping[str, Any]) -> str:
    """The table of every variable that a role's entry points take, each once."""
    options: dict[str, Any] = {}
    for entry in specs["argument_specs"].values():
        options |= {k: v for k, v in entry.get("options", {}).items() if k not in options}
    lines = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        text = option["description"]
        text = " ".join(text) if isinstance(text, list) else text
        default = "required" if option.get("required") else shown(option.get("default"))
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        cells = (f"`{name}`", kind, default, text.replace("|", "\\|"))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def role_page(role: Path) -> str:
    """A role's README with the table as it has to be. Raises ValueError without a place for it."""
    readme = role / "README.md"
    head, begin, rest = readme.read_text().partition(VARIABLES[0])
    _, end, tail = rest.partition(VARIABLES[1])
    if not begin or not end:
        raise ValueError(f"{readme} has no lines {VARIABLES[0]!r} and {VARIABLES[1]!r}")
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
    return head + begin + variables(specs) + end + tail


def main(arguments: list[str]) -> int:
    """Write or check every page."""
    pages = {
        "docs/reference/master-flags.md": flags(
            "master", master.MasterConfig, master.WITHOUT_EFFECT, master.REFUSED
        ),
        "docs/reference/agent-flags.md": flags(
            "agent", agent.AgentConfig, agent.WITHOUT_EFFECT, agent.REFUSED
        ),
        "docs/state-machines/container.md": container_machine(),
        "docs/state-machines/task.md": task_machine(),
    }
    for readme in sorted(ROOT.glob("roles/*/README.md")):
        pages[f"roles/{readme.parent.name}/README.md"] = role_page(readme.parent)
    stale = [n for n, t in pages.items() if not (ROOT / n).exists() or (ROOT / n).read_text() != t]
    if "--check" in arguments:
        if stale:
            print(f"Stale: {', '.join(stale)}; run python tools/generate_docs.py")
        return int(bool(stale))
    for name, text in pages.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
