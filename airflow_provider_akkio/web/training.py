"""How a training stands, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import pendulum

from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.api.vocabulary import Duration
from airflow_provider_akkio.report.content import ModelReport
from airflow_provider_akkio.standing import ERROR_KEY, STATUS_KEY, Standing
from airflow_provider_akkio.web.records import TaskRecord

_FAILED = frozenset({"failed", "upstream_failed", "up_for_retry", "skipped", "removed"})
_ENDED = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})
_NOT_BEGUN = frozenset({None, "none", "scheduled", "queued"})
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

    TRAINING = "training"
    DONE = "done"
    FAILED = "failed"
    OTHER = "other"

    @classmethod
    def of(cls, state: str | None, model_id: Any) -> Phase:
        """Return the phase of a task.

        :param state: the task's state.
        :param model_id: its model, if it has one; that of a task which is to run again is an earlier run's.
        """
        if model_id is not None and state not in _NOT_BEGUN:
            return cls.DONE
        if state in _FAILED:
            return cls.FAILED
        return cls.OTHER if state == "success" else cls.TRAINING

    @property
    def label(self) -> str:
        """The phase as a person reads it."""
        return {"training": "Training", "done": "Done", "failed": "No model", "other": "Submitted"}[self.value]


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
        return f"{_spoken(self.elapsed)} of about {_spoken(self.expected)}, {self.source}"


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
        phase = Phase.of(record.state, record.xcoms.get("model_id"))
        standing = Standing.from_entry(record.xcoms.get(STATUS_KEY))
        told = record.rendered or (standing and standing.parameters) or {}
        known = {name: told[name] for name in _PARAMETERS if name in told}
        task_id = record.xcoms.get("akkio_task_id") or record.rendered.get("akkio_task_id")
        return cls(
            task_name=record.task_name,
            phase=phase,
            has_ended=record.state in _ENDED,
            sentence=_sentence(record, phase),
            failure=_failure(record) if phase is Phase.FAILED else None,
            advice=_advice(record),
            progress=_progress(record, known, standing, now) if phase is Phase.TRAINING else None,
            facts=tuple(_facts(record, known, standing)),
            akkio_task_id=task_id if isinstance(task_id, str) else None,
            has_parameters=bool(known) or record.state in _NOT_BEGUN,
        )


def model_of(record: TaskRecord) -> ModelReport | None:
    """Return the model that a task left; ``None`` if it left none."""
    model_id = record.xcoms.get("model_id")
    if not isinstance(model_id, str) or Phase.of(record.state, model_id) is not Phase.DONE:
        return None
    parts = (record.xcoms.get(name) for name in ("stats", "field_importance", "data_story"))
    return ModelReport.of(model_id, *parts)


def moment(when: datetime | None) -> str:
    """Return a time as a person reads it, in UTC."""
    return "" if when is None else pendulum.instance(when).in_timezone("UTC").format("YYYY-MM-DD HH:mm:ss [UTC]")


def _sentence(record: TaskRecord, phase: Phase) -> str:
    since = f"since {moment(record.started_at)}" if record.started_at else ""
    match phase:
        case Phase.DONE:
            return "Akkio has trained a model."
        case Phase.FAILED:
            return "The task has ended without a model."
        case Phase.OTHER:
            return "The task has ended, and left no model in XCom: it was not to wait for one, or not to leave it."
    if record.state == "deferred":
        return f"Akkio has been training {since}; the task waits in the triggerer."
    return " ".join(["The task is", record.state or "not scheduled yet", since]).strip() + "."


def _failure(record: TaskRecord) -> str:
    reason = record.xcoms.get(ERROR_KEY)
    if isinstance(reason, str) and reason:
        return reason
    if record.state in ("upstream_failed", "skipped", "removed"):
        return f"The task was not run to its end: its state is {record.state}."
    return "The task left no reason here; its log tells it."


def _advice(record: TaskRecord) -> str:
    if record.state == "up_for_retry":
        return f"This was try {record.try_number}; Airflow will try again by itself."
    return "Once the cause is mended, clear the task to have it run again. The task's log has the whole story."


def _facts(record: TaskRecord, known: Mapping[str, Any], standing: Standing | None) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        (label, _said(name, known[name])) for name, label in _PARAMETERS.items() if known.get(name) not in _UNSET
    ]
    if standing is not None:
        seen = moment(_from_epoch(standing.since))
        facts.append(("Akkio's last status", f"{quoted(standing.status)}{seen and f', seen first at {seen}'}"))
    facts += [("DAG", record.dag_id), ("Run", record.run_id), ("Try", str(record.try_number))]
    facts += [
        (label, moment(when)) for label, when in (("Began", record.started_at), ("Ended", record.ended_at)) if when
    ]
    return facts


def _said(name: str, value: Any) -> Any:
    if name == "duration":
        return f"{value} s"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return tuple(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _progress(
    record: TaskRecord, known: Mapping[str, Any], standing: Standing | None, now: datetime
) -> Progress | None:
    began = _from_epoch(standing.submitted_at) if standing is not None else None
    if (began := began or record.started_at) is None:
        return None
    elapsed = max(0.0, (now - began).total_seconds())
    if standing is not None and standing.estimate_seconds:
        return Progress(elapsed, standing.estimate_seconds, "as Akkio estimates")
    try:
        return Progress(elapsed, float(Duration(int(known.get("duration", 0)))), "as it was asked for")
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
