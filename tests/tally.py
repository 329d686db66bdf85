"""Counts what becomes of the tests, by the part of Airflow that they are of, for the table of versions."""

from __future__ import annotations

import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import airflow
import pytest

from tests.versions import parts_of

REST = "the rest"


class Tally:
    """Counts passed and failed tests, and writes the counts where they are wanted.

    :param path: file for the counts; ``None`` for nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._parts: dict[str, list[str]] = {}
        self._passed: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._left_out = 0
        self._total = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which test is of what."""
        for item in session.items:
            marked = [f"{mark} {part.name}" for mark in ("needs", "lacks") for part in parts_of(item, mark)]
            self._parts[item.nodeid] = marked or [REST]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a module that could not be looked at, or left itself out."""
        if report.failed or report.skipped:
            self._failed[REST] += 1

    def pytest_deselected(self, items: list[Any]) -> None:
        """Count what is left to other versions."""
        self._left_out += len(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test."""
        if report.failed or report.skipped:
            self._failed.update(self._parts[report.nodeid])
        elif report.when == "call":
            self._passed.update(self._parts[report.nodeid])
            self._total += 1

    def pytest_sessionfinish(self) -> None:
        """Write the counts."""
        if self._path is None:
            return
        outcome = {
            "airflow": airflow.__version__,
            "python": platform.python_version(),
            "passed": self._passed,
            "failed": self._failed,
            "total": self._total,
            "left_out": self._left_out,
        }
        self._path.write_text(json.dumps(outcome, indent=2))
