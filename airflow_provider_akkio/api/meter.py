"""What is counted and timed of the conversations with Akkio, wherever the numbers go."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Metric(StrEnum):
    """The names under which the numbers are sent."""

    POLLS = "akkio.polls"
    POLL_ERRORS = "akkio.poll_errors"
    RATE_LIMITED = "akkio.rate_limited"
    TRAINING_SECONDS = "akkio.training_seconds"
    DETECTION_DELAY_SECONDS = "akkio.detection_delay_seconds"


class Meter(Protocol):
    """Takes the numbers."""

    def count(self, metric: Metric) -> None:
        """Add one."""

    def time(self, metric: Metric, seconds: float) -> None:
        """Add a length of time."""


class NoMeter:
    """Takes the numbers, and does nothing with them."""

    def count(self, metric: Metric) -> None:
        """Do nothing."""

    def time(self, metric: Metric, seconds: float) -> None:
        """Do nothing."""


NO_METER = NoMeter()
