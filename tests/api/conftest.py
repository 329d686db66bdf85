"""Counts the malformed answers that were tried, and tells how many at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass
class Tried:
    """What was tried of malformed answers.

    :param answers: how many of them the code was given.
    :param peak: the most memory, in bytes, that one of the longest conversations took.
    """

    answers: int = 0
    peak: int = 0


_tried = pytest.StashKey[Tried]()


@pytest.fixture(scope="session")
def tried(pytestconfig: pytest.Config) -> Tried:
    """Counts for the whole run."""
    return pytestconfig.stash.setdefault(_tried, Tried())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if tried := config.stash.get(_tried, None):
        terminalreporter.write_line(
            f"malformed answers tried: {tried.answers:,} (a conversation took {tried.peak / 2**20:.1f} MiB at most)"
        )
