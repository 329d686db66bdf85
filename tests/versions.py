"""The tests that need what not every supported Airflow has, or need it to be missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from packaging.version import Version

from dev.versions import AIRFLOW, Part


def needs(part: Part) -> pytest.MarkDecorator:
    """Mark tests that an Airflow without a part cannot pass."""
    return pytest.mark.needs(part)


def lacks(part: Part) -> pytest.MarkDecorator:
    """Mark tests of what is done instead of a part, where it is missing."""
    return pytest.mark.lacks(part)


def since(version: str) -> pytest.MarkDecorator:
    """Mark tests of how Airflow itself goes about something, which older versions do otherwise.

    :param version: the first that does so.
    """
    return pytest.mark.since(version)


def not_in(version: str) -> pytest.MarkDecorator:
    """Mark tests that a fault of one version of Airflow keeps from passing.

    :param version: its first two numbers.
    """
    return pytest.mark.not_in(version)


def is_for_this_airflow(item: pytest.Item) -> bool:
    """Return whether the Airflow that is installed has what a test needs, and lacks what it has to lack."""
    return (
        all(part.is_here for part in parts_of(item, "needs"))
        and not any(part.is_here for part in parts_of(item, "lacks"))
        and all(Version(mark.args[0]) <= AIRFLOW for mark in item.iter_markers("since"))
        and all(Version(mark.args[0]).release != AIRFLOW.release[:2] for mark in item.iter_markers("not_in"))
    )


def parts_of(item: Any, mark: str) -> Sequence[Part]:
    """Return what a test is marked with.

    :param item: the test.
    :param mark: ``needs`` or ``lacks``.
    """
    return [part for one in item.iter_markers(mark) for part in one.args]
