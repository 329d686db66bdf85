"""A trained model as a card in the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_BAR = 24
_FIELDS = 5
_SHOWN = 60
_COLUMNS = 5
_CELL = 12


def card(xcoms: Mapping[str, Any]) -> str:
    """Return what a training left in XCom, for a person to look at.

    :param xcoms: the XComs of a training task.
    """
    lines = [f"model {xcoms['model_id']}"]
    for classes in xcoms["stats"]:
        lines += ["", *(_class_line(one) for one in classes)]
    importance = sorted(xcoms["field_importance"].items(), key=lambda item: -item[1])[:_FIELDS]
    width = max(len(name) for name, _ in importance)
    most = importance[0][1] or 1.0
    lines += ["", "most important fields"]
    lines += [
        f"  {name:{width}}  {'█' * max(1, round(_BAR * share / most)):{_BAR}} {share:6.1%}"
        for name, share in importance
    ]
    inner = max(len(line) for line in lines)
    body = [f"│ {line:{inner}} │" for line in lines]
    return "\n".join([f"╭{'─' * (inner + 2)}╮", *body, f"╰{'─' * (inner + 2)}╯"])


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


def listing(xcoms: Mapping[str, Any]) -> str:
    """Return the XComs, a line each, long values cut.

    :param xcoms: the XComs of a task.
    """
    width = max(len(key) for key in xcoms)
    return "\n".join(f"  {key:{width}}  {_short(value)}" for key, value in sorted(xcoms.items()))


def _class_line(one: Mapping[str, Any]) -> str:
    if one.get("field_type") == "number":
        numbers = "  ".join(f"{key} {value:.2f}" for key, value in one.items() if isinstance(value, float))
        return f"  {one['field_name']}: {numbers}"
    return (
        f"  {one['field_name']} = {one['class_name']}: {one['count']:4} rows  "
        f"precision {one['precision']:.2f}  recall {one['recall']:.2f}  F1 {one['f1']:.2f}"
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"
