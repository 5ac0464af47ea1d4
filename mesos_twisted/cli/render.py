"""Tables for people, JSON for programs."""

from __future__ import annotations

import re
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


def clean(text: str) -> str:
    """The text with what could steer a terminal shown escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _clean(cell: object) -> str:
    return "-" if cell is None or cell == "" else clean(str(cell))


def show(
    output: str, document: Any, heads: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Print the document as JSON or the rows as a table."""
    if output == "json":
        show_document(document)
    else:
        click.echo(table(heads, rows))


def show_document(document: Any) -> None:
    """Print any document as JSON; what could steer a terminal is escaped as JSON allows."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    click.echo(_STEERING.sub(_escaped, text))


#: Not ASCII and not printable: C1 controls, marks that turn the writing direction, and the like.
_STEERING = re.compile(r"[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
