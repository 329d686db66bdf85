"""The rows of the table, and what they are written to."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pendulum

HEADER = ("measure", "how", "goal", "result", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing.

    :param measure: what it is.
    :param how: how it was measured.
    :param goal: what it should be.
    :param result: what it is.
    :param is_met: whether the goal is met; ``None`` where there is none.
    :param numbers: the bare numbers.
    """

    measure: str
    how: str
    goal: str
    result: str
    is_met: bool | None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> str:
        """Whether the goal is met, in a word."""
        return "" if self.is_met is None else "yes" if self.is_met else "no"


def table(rows: Sequence[Row]) -> str:
    """Return rows as a table of GitHub's markdown."""
    lines = [HEADER, tuple("---" for _ in HEADER)]
    lines += [(row.measure, row.how, row.goal, row.result, row.met) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> dict[str, Any]:
    """Return where and with what the measures were taken."""
    return {
        "date": pendulum.now("UTC").to_date_string(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        **{name: version(name) for name in ("apache-airflow", "aiohttp", "airflow-provider-akkio")},
    }


def write(output: Path, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Write all that was measured as JSON.

    :param output: the file.
    :param rows: what was measured.
    :param notes: what one must know to read them.
    """
    content = {"machine": machine(), "notes": list(notes), "rows": [asdict(row) for row in rows]}
    output.write_text(json.dumps(content, indent=2) + "\n")
