"""The closed words and the limits of Akkio's API: how long a training may take, and how it may stand.

Source: Akkio's Training page and its OpenAPI document (``/api/v1/api.yaml``).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

LONGEST_TRAINING = 86400.0
"""Seconds after which a training counts as lost: Akkio takes one that has run for over a day as failed."""


class Duration(IntEnum):
    """How many seconds Akkio spends on a training; the names are those of the OpenAPI document."""

    FASTEST = 10
    HIGH_QUALITY = 60
    HIGHER_QUALITY = 300
    PRODUCTION = 1800


class TrainingStatus(StrEnum):
    """The statuses of both dialects: the Training page's and the OpenAPI document's."""

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN_TIMEOUT = "UNKNOWN_TIMEOUT"

    @property
    def is_waiting(self) -> bool:
        """Whether Akkio has not begun with the training yet."""
        return self in (TrainingStatus.PENDING, TrainingStatus.SUBMITTED)

    @property
    def is_failed(self) -> bool:
        """Whether the training ended without a model."""
        return self in (TrainingStatus.FAILED, TrainingStatus.UNKNOWN_TIMEOUT)


STATUS_KEY = "akkio_status"
"""Key of the XCom with a training's last status; see :class:`~airflow_provider_akkio.standing.Standing`."""

ERROR_KEY = "akkio_error"
"""Key of the XCom that tells why a task failed, in the words of its exception."""
