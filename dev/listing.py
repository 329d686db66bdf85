"""Rows, tables and XComs in the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 60
_COLUMNS = 5
_CELL = 12


def rows_of(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the last columns of some rows, side by side.

    :param rows: rows with the same columns.
    """
    names = list(rows[0])[-_COLUMNS:]
    widths = [max(len(name), *(len(row[name][:_CELL]) for row in rows)) for name in names]
    lines = [names, *([row[name][:_CELL] for name in names] for row in rows)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its columns as wide as they must be.

    :param header: a name for each column.
    :param rows: the cells.
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def listing(xcoms: Mapping[str, Any]) -> str:
    """Return the XComs, a line each, long values cut.

    :param xcoms: the XComs of a task.
    """
    width = max(len(key) for key in xcoms)
    return "\n".join(f"  {key:{width}}  {_short(value)}" for key, value in sorted(xcoms.items()))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"
