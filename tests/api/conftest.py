"""Count the malformed responses that the property tests tried, and report the count after the run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass
class Tried:
    """What the property tests tried.

    :param responses: number of malformed responses.
    :param peak: peak memory of one of the longest flows, in bytes.
    """

    responses: int = 0
    peak: int = 0


_tried = pytest.StashKey[Tried]()


@pytest.fixture(scope="session")
def tried(pytestconfig: pytest.Config) -> Tried:
    return pytestconfig.stash.setdefault(_tried, Tried())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if tried := config.stash.get(_tried, None):
        terminalreporter.write_line(
            f"malformed responses tried: {tried.responses:,} (peak memory of a flow: {tried.peak / 2**20:.1f} MiB)"
        )
