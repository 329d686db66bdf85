"""Status of a task over time: of trainings and of Chat Explore requests."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_SUBMITTED_SHARE_OF_PACE = 0.2


class TaskStatus(StrEnum):
    """Statuses in the Training page of Akkio."""

    SUBMITTED = "SUBMITTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether the status cannot change."""
        return self in (TaskStatus.SUCCEEDED, TaskStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Status of a task, with an estimate if it is in progress, and with the reason if it failed."""

    status: TaskStatus
    estimate_seconds: float | None = None
    error: str | None = None


def status_of(future: Future[Any]) -> TaskStatus:
    """Return the current status of a job."""
    # Read before `done`, so that a job that ends in between does not look like a queued one.
    is_running = future.running()
    if future.done():
        return TaskStatus.FAILED if future.exception() else TaskStatus.SUCCEEDED
    return TaskStatus.IN_PROGRESS if is_running else TaskStatus.SUBMITTED


def task_progress(future: Future[Any], *, submitted_at: float, pace: float, estimate_seconds: float) -> Progress:
    """Return the progress of a task, which reaches its final status after ``pace`` seconds at the earliest.

    :param future: job of the task.
    :param submitted_at: time of the submission by the monotonic clock.
    :param pace: minimum seconds from the submission to the final status.
    :param estimate_seconds: expected duration.
    """
    status, elapsed = status_of(future), time.monotonic() - submitted_at
    if status is TaskStatus.SUBMITTED or elapsed < _SUBMITTED_SHARE_OF_PACE * pace:
        return Progress(status=TaskStatus.SUBMITTED)
    if status is TaskStatus.IN_PROGRESS or elapsed < pace:
        return Progress(status=TaskStatus.IN_PROGRESS, estimate_seconds=max(pace, estimate_seconds))
    error = future.exception()
    return Progress(status=status, error=str(error) if error else None)
