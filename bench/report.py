"""Rows of figures beside their targets: the table that is printed and the file that is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. With `at_most` or `at_least` it has a target; `value` None was not measured."""

    name: str
    value: float | None
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Is the target met? None without a target or without a figure."""
        if self.value is None or (self.at_most is None and self.at_least is None):
            return None
        high = self.at_most is None or self.value <= self.at_most
        return high and (self.at_least is None or self.value >= self.at_least)

    @property
    def target(self) -> str:
        """The target in words, or nothing."""
        if self.at_most is not None:
            return f"<= {figure(self.at_most)}"
        return "" if self.at_least is None else f">= {figure(self.at_least)}"


@dataclass(slots=True)
class Report:
    """What one benchmark found; rows are printed as they come."""

    rows: list[Row] = field(default_factory=list)

    def add(
        self,
        name: str,
        value: float | None,
        unit: str = "",
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        note: str = "",
    ) -> None:
        """One more figure."""
        row = Row(name, value, unit, at_most, at_least, note)
        self.rows.append(row)
        print("    " + "  ".join(_cells(row)), flush=True)


def figure(value: float | None) -> str:
    """Three significant digits, and thousands apart."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}" if abs(value) >= 0.1 else f"{value:.2g}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of the values do not exceed."""
    if not values:
        raise ValueError("a percentile of nothing")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1))]


def _cells(row: Row) -> list[str]:
    met = {True: "met", False: "MISSED", None: ""}[row.met]
    return [row.name, figure(row.value), row.unit, row.target, met, row.note]


def table(results: dict[str, list[Row]]) -> str:
    """All rows, in columns."""
    head = ["figure", "value", "unit", "target", "", "note"]
    lines = [["benchmark", *head]]
    for benchmark, rows in results.items():
        lines += [[benchmark, *_cells(row)] for row in rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]) - 1)]
    text = []
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        text.append("  ".join([*cells, line[-1]]).rstrip())
    return "\n".join(text)


def save(path: Path, results: dict[str, list[Row]], facts: dict[str, object]) -> None:
    """The file holds these results, and those of benchmarks that did not run this time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, object] = {}
    if path.exists():
        known = json.loads(path.read_text())
    for name, rows in results.items():
        known[name] = {"facts": facts, "rows": [asdict(row) | {"met": row.met} for row in rows]}
    path.write_text(json.dumps(known, indent=1) + "\n")


def to_lines(rows: Iterable[Row]) -> str:
    """Rows as JSON lines, from a benchmark's process to the one that prints the table."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)


def from_lines(text: str) -> list[Row]:
    """The rows of `to_lines`."""
    return [Row(**json.loads(line)) for line in text.splitlines()]
