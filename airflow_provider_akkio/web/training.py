"""How a training stands, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import pendulum

from airflow_provider_akkio.api.vocabulary import Duration
from airflow_provider_akkio.report.content import ModelReport
from airflow_provider_akkio.web.records import TaskRecord

_FAILED = frozenset({"failed", "upstream_failed", "up_for_retry", "skipped", "removed"})
_PARAMETERS = {
    "dataset_id": "Dataset",
    "predict_fields": "Predicts",
    "ignore_fields": "Leaves out",
    "duration": "Duration",
    "extra_attention": "Extra attention",
    "force": "Force",
    "akkio_conn_id": "Connection",
}
_UNSET: tuple[Any, ...] = (None, "", [], "None")


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
        :param model_id: its model, if it has one.
        """
        if model_id is not None:
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

    :param elapsed: seconds since the task began.
    :param expected: seconds that Akkio was asked to spend.
    """

    elapsed: float
    expected: float

    @property
    def shown(self) -> float:
        """The seconds of the bar."""
        return min(self.elapsed, self.expected)

    @property
    def text(self) -> str:
        """The bar in words."""
        return f"{_spoken(self.elapsed)} of about {_spoken(self.expected)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingView:
    """A training as its page shows it."""

    task_id: str
    phase: Phase
    sentence: str
    failure: str | None
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
        known = {name: record.rendered[name] for name in _PARAMETERS if name in record.rendered}
        task_id = record.xcoms.get("akkio_task_id") or record.rendered.get("akkio_task_id")
        return cls(
            task_id=record.task_id if record.map_index < 0 else f"{record.task_id} [{record.map_index}]",
            phase=phase,
            sentence=_sentence(record, phase),
            failure=_failure(record) if phase is Phase.FAILED else None,
            progress=_progress(record, known, now) if phase is Phase.TRAINING else None,
            facts=tuple(_facts(record, known)),
            akkio_task_id=task_id if isinstance(task_id, str) else None,
            has_parameters=bool(known) or record.state is None,
        )


def model_of(record: TaskRecord) -> ModelReport | None:
    """Return the model that a task left; ``None`` if it left none."""
    model_id = record.xcoms.get("model_id")
    if not isinstance(model_id, str):
        return None
    parts = (record.xcoms.get(name) for name in ("stats", "field_importance", "data_story"))
    return ModelReport.of(model_id, *parts)


def moment(when: datetime | None) -> str:
    """Return a time as a person reads it, in UTC."""
    return "" if when is None else pendulum.instance(when).in_timezone("UTC").format("YYYY-MM-DD HH:mm:ss [UTC]")


def _sentence(record: TaskRecord, phase: Phase) -> str:
    since = f" since {moment(record.started_at)}" if record.started_at else ""
    match phase:
        case Phase.DONE:
            return "Akkio has trained a model."
        case Phase.FAILED:
            return "The task has ended without a model."
        case Phase.OTHER:
            return "The task has ended, and left no model in XCom: it was not to wait for one, or not to leave it."
    if record.state == "deferred":
        return f"Akkio trains{since}; the task waits in the triggerer."
    return f"The task is {record.state or 'not scheduled yet'}{since}."


def _failure(record: TaskRecord) -> str:
    if record.state == "up_for_retry":
        return f"Try {record.try_number} has failed, and Airflow will try again. The task's log tells why."
    if record.state in ("upstream_failed", "skipped", "removed"):
        return f"The task was not run to its end: its state is {record.state}."
    return "The task's log tells why, and what to do; once that is done, clear the task to have it run again."


def _facts(record: TaskRecord, known: Mapping[str, Any]) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        (label, _said(known[name])) for name, label in _PARAMETERS.items() if known.get(name) not in _UNSET
    ]
    facts += [("DAG", record.dag_id), ("Run", record.run_id), ("Try", str(record.try_number))]
    facts += [
        (label, moment(when)) for label, when in (("Began", record.started_at), ("Ended", record.ended_at)) if when
    ]
    return facts


def _said(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return tuple(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _progress(record: TaskRecord, known: Mapping[str, Any], now: datetime) -> Progress | None:
    try:
        expected = Duration(int(known.get("duration", 0)))
    except (TypeError, ValueError):
        return None
    if record.started_at is None:
        return None
    return Progress(max(0.0, (now - record.started_at).total_seconds()), float(expected))


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
