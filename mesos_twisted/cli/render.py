"""Tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their longest cell; control characters in cells are shown escaped."""
    cells = [[_clean(cell) for cell in row] for row in rows]
    widths = [max([len(head), *(len(row[i]) for row in cells)]) for i, head in enumerate(heads)]
    lines = [heads, *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _clean(cell: object) -> str:
    text = "-" if cell is None or cell == "" else str(cell)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show(
    output: str, document: Any, heads: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Print the document as JSON or the rows as a table."""
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
    else:
        click.echo(table(heads, rows))


def show_document(document: Any) -> None:
    """Print any document as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
