"""A training as values: what Akkio says on the way, and what comes out.

Source: Akkio's Training page and its OpenAPI document (``/api/v1/api.yaml``). Where they disagree, both are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from airflow_provider_akkio.api.quoting import MAX_QUOTED
from airflow_provider_akkio.api.vocabulary import TrainingStatus
from airflow_provider_akkio.exceptions import AkkioMalformedAnswer

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
        """Read the answer to ``POST /models/train/new``; raise :class:`AkkioMalformedAnswer` without a task id."""
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
        if len(status) > MAX_QUOTED:
            raise AkkioMalformedAnswer("Akkio's answer has a 'status' that is no status.")
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
        """Read an answer of ``GET …/result``; raise :class:`AkkioMalformedAnswer` if it holds no model."""
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
        raise AkkioMalformedAnswer(f"Akkio's answer has no {key!r}.")
    return value


def _id(body: Mapping[str, Any], key: str) -> str:
    value = _text(body, key)
    if not value.isprintable() or len(value) > MAX_QUOTED:
        raise AkkioMalformedAnswer(f"Akkio's answer has a {key!r} that is no id.")
    return value


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds_or_none(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _LONGEST_ESTIMATE else None
