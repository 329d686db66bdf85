"""Akkio's tasks as values: kind, status, state, result; and the limits and enumerations that Akkio documents.

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
"""Seconds after which a training counts as lost: Akkio treats a training that runs for over a day as failed."""

STATUS_KEY = "akkio_status"
"""XCom key of the last status of a training or chat."""

ERROR_KEY = "akkio_error"
"""XCom key of the message of the exception that failed the task."""

KIND_KEY = "akkio_task_kind"
"""XCom key of the kind of a chat. The pages of trainings recognize chats by it, also those of subclasses."""

NOT_SUBMITTED_AGAIN = (
    "It is unknown whether Akkio started the training. It was not submitted again, because force=True would start "
    "(and bill) a second one. Look for the model in Akkio. If it is missing, clear this task."
)


class AkkioTaskKind(StrEnum):
    """What a task of Akkio does. The value is the word for messages."""

    TRAINING = "training"
    CHAT = "chat"


def still_running_message(akkio_task_id: str, kind: AkkioTaskKind = AkkioTaskKind.TRAINING) -> str:
    """Return the end of a message about a training or chat that this Airflow task no longer waits for."""
    running = f"{kind.title()} {akkio_task_id} may still be running at Akkio, which has no call to cancel it."
    if kind is AkkioTaskKind.TRAINING:
        sensor = f"AkkioTrainSensor(akkio_task_id={akkio_task_id!r})"
        return f"{running} To wait for it and fetch its result, use {sensor}."
    return f"{running} To wait for an answer, clear the Airflow task."


class Duration(IntEnum):
    """Seconds that Akkio spends on a training; the names are from the OpenAPI document."""

    FASTEST = 10
    HIGH_QUALITY = 60
    HIGHER_QUALITY = 300
    PRODUCTION = 1800


class AkkioTaskStatus(StrEnum):
    """Every status that the Training page or the OpenAPI document names."""

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN_TIMEOUT = "UNKNOWN_TIMEOUT"

    @property
    def is_waiting(self) -> bool:
        """Whether Akkio has not started the task yet."""
        return self in (AkkioTaskStatus.PENDING, AkkioTaskStatus.SUBMITTED)

    @property
    def is_failed(self) -> bool:
        """Whether the task ended without a result."""
        return self in (AkkioTaskStatus.FAILED, AkkioTaskStatus.UNKNOWN_TIMEOUT)


class FieldType(StrEnum):
    """Types of the fields of a dataset."""

    CATEGORY = "category"
    ID = "id"
    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    DATE = "date"
    UNKNOWN = "unknown"
    """A field that Akkio does not use."""

    @classmethod
    def _missing_(cls, value: object) -> FieldType | None:
        return cls.FLOAT if value == "number" else None

    @property
    def is_number(self) -> bool:
        """Whether the cells of a field of this type are numbers."""
        return self in (FieldType.INTEGER, FieldType.FLOAT)


_DOCUMENTED = dict(AkkioTaskStatus.__members__)


@dataclass(frozen=True, slots=True)
class AkkioTask:
    """A training or chat that Akkio accepted.

    :param akkio_task_id: Akkio's task ID.
    :param submitted_at: when Akkio accepted it, in seconds since the epoch. It is wall-clock time because a trigger may
        resume in another process.
    :param duration: seconds that Akkio spends on a training; ``None`` if another program submitted it, and for a chat.
    :param kind: what Akkio does; default a training.
    """

    akkio_task_id: str
    submitted_at: float
    duration: float | None = None
    kind: AkkioTaskKind = AkkioTaskKind.TRAINING

    def __str__(self) -> str:
        return f"{self.kind} {self.akkio_task_id}"

    @property
    def title(self) -> str:
        """The same as ``str()``, as the beginning of a sentence."""
        return f"{self.kind.title()} {self.akkio_task_id}"

    @property
    def is_submission_known(self) -> bool:
        """Whether ``submitted_at`` is when Akkio accepted the task: not if another program submitted a training."""
        return self.duration is not None or self.kind is AkkioTaskKind.CHAT


@dataclass(frozen=True, slots=True)
class AkkioTaskState:
    """Akkio's response to one poll.

    :param status: the status as Akkio sent it, including an undocumented one.
    :param estimate_seconds: Akkio's rough estimate of the duration of the whole task, in seconds.
    :param location: URL of the result, if the task succeeded.
    :param error: Akkio's reason, if the task failed.
    """

    status: str
    estimate_seconds: float | None = None
    location: str | None = None
    error: str | None = None

    @property
    def known(self) -> AkkioTaskStatus | None:
        """The status, if it is a documented one."""
        return _DOCUMENTED.get(self.status)

    @property
    def is_waiting(self) -> bool:
        """Whether Akkio reports that it has not started the task yet."""
        return self.known is not None and self.known.is_waiting

    @property
    def is_failed(self) -> bool:
        """Whether Akkio reports that the task ended without a result."""
        return self.known is not None and self.known.is_failed

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Parse the body of ``GET …/status``; ignore metadata of an unexpected type.

        :raises AkkioResponseError: if the status is missing or invalid, or the body is an error of Akkio: an
            undocumented status with a ``message``.
        """
        metadata = body.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        status = _required_text(body, "status")
        if status not in _DOCUMENTED and not metadata and _text_or_none(body.get("message")):
            raise AkkioResponseError("Akkio reports an error.")
        return cls(
            status=status,
            estimate_seconds=_seconds_or_none(metadata.get("estimate_seconds")),
            location=_text_or_none(metadata.get("location")),
            error=_text_or_none(metadata.get("error")),
        )


UNKNOWN_STATE = AkkioTaskState("unknown")
"""The state of a task while Akkio is unavailable."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained model, exactly as Akkio sent it.

    :param stats: per predicted field a list with one object per class; the shape for a number field is not published.
    :param field_importance: field name → share in the model's decisions.
    :param data_story: per predicted field and outcome, its causes.
    """

    model_id: str
    stats: Any
    field_importance: Any
    data_story: Any

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Parse the body of ``GET …/result``; raise :class:`AkkioResponseError` if it has no valid model ID."""
        return cls(
            required_id(body, "model_id"), body.get("stats"), body.get("field_importance"), body.get("data_story")
        )

    def to_xcoms(self) -> dict[str, Any]:
        """Return XCom key → value, without the parts that Akkio did not send: Airflow 3.0 cannot store ``None``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in values.items() if value is not None}


def required_id(body: Mapping[str, Any], key: str) -> str:
    """Return an ID from a response; raise :class:`AkkioResponseError` if it is missing or invalid."""
    value = _required_text(body, key)
    if not value.isprintable():
        raise AkkioResponseError(f"Akkio's response has an invalid {key!r}.")
    return value


def _required_text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise AkkioResponseError(f"Akkio's response has no {key!r}.")
    if len(value) > MAX_PRINTABLE:
        raise AkkioResponseError(f"Akkio's response has an invalid {key!r}.")
    return value


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds_or_none(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e9 else None
