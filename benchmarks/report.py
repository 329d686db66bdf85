"""Results of benchmarks: a table in Markdown and a file in JSON."""

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
    """One result.

    :param measure: what is measured.
    :param how: how it is measured.
    :param goal: the goal; may be empty.
    :param result: the result.
    :param is_met: whether the goal is met; ``None`` without a goal.
    :param numbers: the numbers behind the result.
    """

    measure: str
    how: str
    goal: str
    result: str
    is_met: bool | None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> str:
        """Whether the goal is met, as a word."""
        return "" if self.is_met is None else "yes" if self.is_met else "no"


def table(rows: Sequence[Row]) -> str:
    """Return the results as a Markdown table."""
    lines = [HEADER, tuple("---" for _ in HEADER)]
    lines += [(row.measure, row.how, row.goal, row.result, row.met) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(output: Path, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Write the results and a description of the machine as JSON.

    :param output: file.
    :param rows: results.
    :param notes: explanations of the results.
    """
    machine = {
        "date": pendulum.now("UTC").to_date_string(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        **{name: version(name) for name in ("apache-airflow", "aiohttp", "airflow-provider-akkio")},
    }
    content = {"machine": machine, "notes": list(notes), "rows": [asdict(row) for row in rows]}
    output.write_text(json.dumps(content, indent=2) + "\n")
