"""How a training stands, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import pendulum

from airflow_provider_akkio.api.summary import ModelSummary
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import ERROR_KEY, STATUS_KEY, Duration, TrainingState, TrainingStatus
from airflow_provider_akkio.triggers.status import TrainingStatusUpdate
from airflow_provider_akkio.web.records import TaskRecord, TaskRow

_FAILED = frozenset({"failed", "up_for_retry"})
_NOT_RUN = frozenset({"upstream_failed", "skipped", "removed"})
_WAITING = frozenset({"running", "deferred"})
_ENDED = frozenset({"success", "failed", *_NOT_RUN})
_PARAMETERS = {
    "dataset_id": "Dataset",
    "predict_fields": "Predicts",
    "ignore_fields": "Leaves out",
    "duration": "Duration",
    "extra_attention": "Extra attention",
    "force": "Force",
    "akkio_conn_id": "Connection",
}
_UNSET: tuple[Any, ...] = (None, "", [], "None", "[]", "()")


class Phase(StrEnum):
    """How far a training is."""

    WAITING = "waiting"
    TRAINING = "training"
    DONE = "done"
    FAILED = "failed"
    NOT_RUN = "not-run"
    OTHER = "other"

    @classmethod
    def of(cls, row: TaskRow, model_id: Any) -> Phase:
        """Return the phase of a task.

        :param row: the task.
        :param model_id: its model, if it has one; while it is deferred, that may still be an earlier run's.
        """
        if not row.has_begun:
            return cls.WAITING
        if row.state in _FAILED:
            return cls.FAILED
        if row.state in _NOT_RUN:
            return cls.NOT_RUN
        if model_id is not None and row.state != "deferred":
            return cls.DONE
        return cls.OTHER if row.state == "success" else cls.TRAINING

    @property
    def label(self) -> str:
        """The phase as a person reads it."""
        return _LABELS[self]


_LABELS = {
    Phase.WAITING: "Not begun",
    Phase.TRAINING: "Training",
    Phase.DONE: "Done",
    Phase.FAILED: "Failed",
    Phase.NOT_RUN: "Not run",
    Phase.OTHER: "No model",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """The time that has passed, against what is expected.

    :param elapsed: seconds since Akkio took the training, or since the task began.
    :param expected: seconds that the training takes.
    :param source: who says so.
    """

    elapsed: float
    expected: float
    source: str

    @property
    def shown(self) -> float:
        """The seconds of the bar."""
        return min(self.elapsed, self.expected)

    @property
    def text(self) -> str:
        """The bar in words."""
        return f"{_spoken(self.elapsed)} so far, of about {_spoken(self.expected)} ({self.source})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingView:
    """A training as its page shows it."""

    task_name: str
    phase: Phase
    has_ended: bool
    sentence: str
    failure: str | None
    advice: str
    progress: Progress | None
    facts: tuple[tuple[str, Any], ...]
    akkio_task_id: str | None
    has_parameters: bool

    @classmethod
    def of(cls, record: TaskRecord, now: datetime) -> TrainingView:
        """Return what the page shows of a task that trains.

        :param record: the task.
        :param now: the present.
        """
        phase = Phase.of(record, record.xcoms.get("model_id"))
        left = record.xcoms if record.has_begun else {}
        standing = TrainingStatusUpdate.from_entry(left.get(STATUS_KEY))
        told = record.rendered or (standing and standing.parameters) or {}
        known = {name: told[name] for name in _PARAMETERS if name in told}
        task_id = left.get("akkio_task_id") or record.rendered.get("akkio_task_id")
        return cls(
            task_name=record.task_name,
            phase=phase,
            has_ended=record.state in _ENDED,
            sentence=_sentence(record, phase, standing),
            failure=_failure(phase, left.get(ERROR_KEY)),
            advice=_advice(record),
            progress=_progress(record, known, standing, now) if phase is Phase.TRAINING else None,
            facts=tuple(_facts(record, known, standing)),
            akkio_task_id=task_id if isinstance(task_id, str) else None,
            has_parameters=bool(known) or not record.has_begun or record.state == "running",
        )


def model_of(record: TaskRecord) -> ModelSummary | None:
    """Return the model that a task left, also one that failed afterwards; ``None`` if it left none."""
    model_id = record.xcoms.get("model_id")
    if not isinstance(model_id, str) or Phase.of(record, model_id) not in (Phase.DONE, Phase.FAILED):
        return None
    return ModelSummary.of(record.xcoms)


def moment(when: datetime | None) -> str:
    """Return a time as a person reads it, in UTC."""
    return "" if when is None else pendulum.instance(when).in_timezone("UTC").format("YYYY-MM-DD HH:mm:ss [UTC]")


def _sentence(record: TaskRecord, phase: Phase, standing: TrainingStatusUpdate | None) -> str:
    if phase is Phase.TRAINING:
        return _waits(record, standing)
    has_model = record.xcoms.get("model_id") is not None
    return {
        Phase.WAITING: f"The task is {record.state or 'not scheduled yet'}.",
        Phase.DONE: "Akkio has trained a model.",
        Phase.FAILED: f"The task has failed{', after Akkio had trained a model' if has_model else ' without a model'}.",
        Phase.NOT_RUN: f"The task was not run to its end: its state is {record.state}.",
        Phase.OTHER: "The task left no model: it was not to wait for one, or not to leave it, or a person ended it.",
    }[phase]


def _waits(record: TaskRecord, standing: TrainingStatusUpdate | None) -> str:
    if _has_ended(standing):
        return "Akkio has ended the training; the task takes what came of it in a moment."
    submitted_at = _from_epoch(standing.submitted_at) if standing is not None else None
    where = "the task waits in the triggerer" if record.state == "deferred" else f"the task's state is {record.state}"
    if submitted_at is not None:
        return f"Akkio has had the training since {moment(submitted_at)}; {where}."
    since = f" since {moment(record.started_at)}" if record.started_at and record.state in _WAITING else ""
    return f"{where[0].upper()}{where[1:]}{since}."


def _has_ended(standing: TrainingStatusUpdate | None) -> bool:
    status = None if standing is None else TrainingState(standing.status).known
    return status is not None and (status is TrainingStatus.SUCCEEDED or status.is_failed)


def _failure(phase: Phase, reason: Any) -> str | None:
    if phase not in (Phase.FAILED, Phase.NOT_RUN):
        return None
    if isinstance(reason, str) and reason:
        return reason
    return "The task left no reason here; its log may tell one."


def _advice(record: TaskRecord) -> str:
    if record.state == "up_for_retry":
        return f"This was try {record.try_number}; Airflow will try again by itself."
    return "Once the cause is mended, clear the task to have it run again. The task's log has the whole story."


def _facts(
    record: TaskRecord, known: Mapping[str, Any], standing: TrainingStatusUpdate | None
) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        (label, _said(name, known[name])) for name, label in _PARAMETERS.items() if known.get(name) not in _UNSET
    ]
    if standing is not None:
        seen = moment(_from_epoch(standing.since))
        facts.append(("Akkio's last status", f"{printable(standing.status)}{seen and f', seen at {seen}'}"))
    facts += [("DAG", record.dag_id), ("Run", record.run_id), ("Try", str(record.try_number))]
    times = (("Began", record.started_at), ("Ended", record.ended_at)) if record.has_begun else ()
    return facts + [(label, moment(when)) for label, when in times if when]


def _said(name: str, value: Any) -> Any:
    if name == "duration":
        return f"{value} s"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return tuple(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _progress(
    record: TaskRecord, known: Mapping[str, Any], standing: TrainingStatusUpdate | None, now: datetime
) -> Progress | None:
    """Return how far a training is; ``None`` where it is not known when it began, as of one that a sensor waits for."""
    began = _from_epoch(standing.submitted_at) if standing is not None else None
    if began is None and "duration" in known and "akkio_task_id" in record.xcoms:
        began = record.started_at
    if began is None or _has_ended(standing):
        return None
    elapsed = max(0.0, (now - began).total_seconds())
    if standing is not None and standing.estimate_seconds:
        return Progress(elapsed, standing.estimate_seconds, "Akkio's estimate")
    try:
        return Progress(elapsed, float(Duration(int(known.get("duration", 0)))), "the duration that was asked for")
    except (TypeError, ValueError):
        return None


def _from_epoch(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else pendulum.from_timestamp(seconds)
    except (ValueError, OverflowError, OSError):
        return None


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
