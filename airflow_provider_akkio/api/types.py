"""The closed words and the limits of Akkio's API: how long a training may take, and how it may stand.

Source: Akkio's Training page and its OpenAPI document (``/api/v1/api.yaml``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from typing import Any, Self

from airflow_provider_akkio.api.text import MAX_PRINTABLE
from airflow_provider_akkio.exceptions import AkkioResponseError

MAX_TRAINING_SECONDS = 86400.0
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
"""Key of the XCom with a training's last status; see :class:`~airflow_provider_akkio.triggers.status.TrainingStatusUpdate`."""

ERROR_KEY = "akkio_error"
"""Key of the XCom that tells why a task failed, in the words of its exception."""


_LONGEST_ESTIMATE = 1e9
_STATUSES = dict(TrainingStatus.__members__)


@dataclass(frozen=True, slots=True)
class SubmittedTraining:
    """A training that Akkio accepted.

    :param akkio_task_id: the id to ask for its status and result with.
    :param submitted_at: when Akkio accepted it, in seconds since the epoch: a trigger may go on in another process,
        where a monotonic clock would start anew.
    :param duration: seconds that Akkio was asked to spend on it; ``None`` if somebody else submitted it.
    """

    akkio_task_id: str
    submitted_at: float
    duration: float | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any], submitted_at: float, duration: float | None = None) -> Self:
        """Read the answer to ``POST /models/train/new``; raise :class:`AkkioResponseError` without a task id."""
        return cls(_id(body, "task_id"), submitted_at, duration)


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Akkio's answer to one status question.

    :param status: the status as Akkio wrote it, also one that is not in :class:`TrainingStatus`.
    :param estimate_seconds: Akkio's rough estimate of the whole training's seconds, if it gave one.
    :param location: where Akkio says that the result lies, if it succeeded.
    :param error: why it failed, in Akkio's words, if it did.
    """

    status: str
    estimate_seconds: float | None = None
    location: str | None = None
    error: str | None = None

    @property
    def known(self) -> TrainingStatus | None:
        """The status, if it is one that Akkio documents."""
        return _STATUSES.get(self.status)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read an answer of ``GET …/status``; metadata of an unexpected shape counts as absent."""
        status = _text(body, "status")
        if len(status) > MAX_PRINTABLE:
            raise AkkioResponseError("Akkio's answer has a 'status' that is no status.")
        metadata = body.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        return cls(
            status=status,
            estimate_seconds=_seconds_or_none(metadata.get("estimate_seconds")),
            location=_text_or_none(metadata.get("location")),
            error=_text_or_none(metadata.get("error")),
        )


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained model, its parts just as Akkio sent them.

    :param model_id: id of the model.
    :param stats: per predicted field a list with one object per class; the shape for a number field is not published.
    :param field_importance: field name to its share of the model's decision.
    :param data_story: per predicted field and outcome, its causes.
    """

    model_id: str
    stats: Any
    field_importance: Any
    data_story: Any

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read an answer of ``GET …/result``; raise :class:`AkkioResponseError` if it holds no model."""
        model_id = _id(body, "model_id")
        return cls(model_id, body.get("stats"), body.get("field_importance"), body.get("data_story"))

    def parts(self) -> dict[str, Any]:
        """Return the parts that Akkio sent by name, which are the keys of a task's XComs.

        One that it left out is no XCom: its value reads as ``None`` all the same, which Airflow 3.0 refuses to store.
        """
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in parts.items() if value is not None}


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise AkkioResponseError(f"Akkio's answer has no {key!r}.")
    return value


def _id(body: Mapping[str, Any], key: str) -> str:
    value = _text(body, key)
    if not value.isprintable() or len(value) > MAX_PRINTABLE:
        raise AkkioResponseError(f"Akkio's answer has a {key!r} that is no id.")
    return value


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds_or_none(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _LONGEST_ESTIMATE else None


NOT_SUBMITTED_AGAIN = (
    "Whether a training was started is not known. It was not submitted again, since force=True would start (and bill) "
    "a second one. Look for the model in Akkio; if there is none, clear this task."
)
"""For whoever finds the outcome of a submission unknown."""


def still_running(akkio_task_id: str) -> str:
    """Return what to tell whoever stops waiting for a training that goes on at Akkio."""
    return (
        f"Training {akkio_task_id} may still be running at Akkio, which has no call to cancel it: "
        f"AkkioTrainSensor(akkio_task_id={akkio_task_id!r}) waits for it and takes its result."
    )
