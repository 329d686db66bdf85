"""What not every supported Airflow has, and the tests that need it, or need it to be missing."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import airflow
import pytest
from packaging.version import Version

AIRFLOW = Version(Version(airflow.__version__).base_version)


class Part(Enum):
    """A part of Airflow that this package makes use of where it is there.

    :param since: the first version of Airflow that has it.
    :param gives: what it gives to a user.
    :param instead: what an older Airflow does.
    """

    EXECUTION_TIMEOUT = (
        "3.0",
        "an `execution_timeout` that ends a deferred wait says which training goes on",
        "Airflow's own error; the log has the training's id",
    )
    STATUS = ("3.1", "`akkio_status` while the triggerer waits", "`akkio_status` is left by workers alone")
    PAGES = ("3.1.1", "the tab *Akkio*, the page *Akkio models*, the link to the tab", "a link to Akkio alone")
    FORM_OF_PROVIDER = ("3.2", "the connection's form from the provider's own description", "the form from the hook")
    TASK_STATE_STORE = (
        "3.3",
        "a later try goes on with the training, or the upload, of an earlier one",
        "each try submits anew; an append that broke off is not tried again",
    )
    ENDS_IN_TRIGGERER = (
        "3.3",
        "`end_from_trigger` and `start_from_trigger`",
        "workers do it, and the log says why",
    )

    def __init__(self, since: str, gives: str, instead: str) -> None:
        self.since = Version(since)
        self.gives = gives
        self.instead = instead

    @property
    def is_here(self) -> bool:
        """Whether the Airflow that is installed has it."""
        return self.since <= AIRFLOW


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
