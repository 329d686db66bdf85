"""Markers for tests that need a part of Airflow, or need it to be missing."""

from __future__ import annotations

import pytest
from packaging.version import Version

from dev.versions import AIRFLOW, Part


def needs(part: Part) -> pytest.MarkDecorator:
    """Mark tests that require a part of Airflow."""
    return pytest.mark.needs(part)


def lacks(part: Part) -> pytest.MarkDecorator:
    """Mark tests of the fallback in an Airflow without a part."""
    return pytest.mark.lacks(part)


def since(version: str) -> pytest.MarkDecorator:
    """Mark tests that require a version of Airflow or a newer one."""
    return pytest.mark.since(version)


def not_in(version: str) -> pytest.MarkDecorator:
    """Mark tests that fail because of a bug in one minor version of Airflow, such as ``3.0``."""
    return pytest.mark.not_in(version)


def is_for_this_airflow(item: pytest.Item) -> bool:
    """Return whether the markers of a test match the installed Airflow."""
    return (
        all(part.is_here for part in _parts_of(item, "needs"))
        and not any(part.is_here for part in _parts_of(item, "lacks"))
        and all(Version(mark.args[0]) <= AIRFLOW for mark in item.iter_markers("since"))
        and all(Version(mark.args[0]).release != AIRFLOW.release[:2] for mark in item.iter_markers("not_in"))
    )


def _parts_of(item: pytest.Item, marker: str) -> list[Part]:
    return [part for mark in item.iter_markers(marker) for part in mark.args]
