"""What the pages show: plain values for the templates, built from what the database contains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import pendulum

from airflow_provider_akkio.api.statistics import ModelMetric, ModelSummary, main_metric
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import ERROR_KEY, STATUS_KEY, AkkioTaskState, AkkioTaskStatus, Duration
from airflow_provider_akkio.operators._links import task_path
from airflow_provider_akkio.triggers.status import AkkioStatusUpdate
from airflow_provider_akkio.web.records import MAX_RUNS, TaskDetails, TrainingTask

_FAILED = ("failed", "up_for_retry")
_NOT_RUN = ("upstream_failed", "removed")
_ENDED = ("success", "failed", "skipped", *_NOT_RUN)
_PARAMETERS = {
    "dataset_id": "Dataset",
    "predict_fields": "Predicted fields",
    "ignore_fields": "Ignored fields",
    "duration": "Duration",
    "extra_attention": "Extra attention",
    "force": "Force",
    "akkio_conn_id": "Connection",
}
_UNSET: tuple[Any, ...] = (None, "", [], "None", "[]", "()")
_CHART_WIDTH, _CHART_HEIGHT, _CHART_MARGIN = 160.0, 32.0, 3.0


class Phase(StrEnum):
    """State of a training; the value is the CSS class of its badge."""

    WAITING = "waiting"
    TRAINING = "training"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not-run"
    NO_MODEL = "no-model"

    @classmethod
    def of(cls, task: TrainingTask) -> Phase:
        """Return the phase of a task instance."""
        if task.state in _NOT_RUN:
            return cls.NOT_RUN
        if not task.has_started:
            return cls.WAITING
        if task.state in _FAILED:
            return cls.FAILED
        if task.state == "skipped":
            return cls.SKIPPED
        # While the task is deferred, the XComs may still be those of a run before it was cleared.
        if task.has_model and task.state != "deferred":
            return cls.DONE
        return cls.NO_MODEL if task.state == "success" else cls.TRAINING

    @property
    def label(self) -> str:
        """Text of the badge."""
        return {Phase.WAITING: "Not started"}.get(self, self.value.replace("-", " ").capitalize())


@dataclass(frozen=True, slots=True)
class Progress:
    """Elapsed time of a training.

    :param elapsed: seconds since Akkio accepted the training.
    :param expected: expected duration of the training in seconds.
    :param source: where the expected duration comes from.
    """

    elapsed: float
    expected: float
    source: str

    @property
    def text(self) -> str:
        """Text of the progress bar."""
        elapsed, expected = (
            pendulum.duration(seconds=max(1, round(seconds))).in_words() for seconds in (self.elapsed, self.expected)
        )
        return f"{elapsed} elapsed of about {expected} ({self.source})"


@dataclass(frozen=True, slots=True)
class Trend:
    """A metric over consecutive runs of a task.

    :param metric: name of the metric.
    :param values: its values, oldest first; at least one.
    """

    metric: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, metrics: Sequence[ModelMetric | None]) -> Self | None:
        """Return the trend up to the last model; ``None`` if that has no metric.

        :param metrics: main metrics of consecutive models, oldest first; another metric or field is omitted.
        """
        if not metrics or (last := metrics[-1]) is None:
            return None
        same = [one for one in metrics if one and (one.metric, one.field_name) == (last.metric, last.field_name)]
        return cls(last.metric, tuple(one.value for one in same))

    @property
    def previous(self) -> float | None:
        """The last value but one."""
        return self.values[-2] if len(self.values) > 1 else None

    @property
    def change(self) -> float | None:
        """Difference between the last two values."""
        return None if self.previous is None else self.values[-1] - self.previous

    @property
    def text(self) -> str:
        """Text alternative of the chart."""
        return f"{self.metric}, oldest first: {', '.join(f'{value:.3g}' for value in self.values)}"

    @property
    def points(self) -> list[tuple[float, float]]:
        """Points of the chart in a box 160 wide and 32 high; empty for a single value."""
        if len(self.values) < 2:
            return []
        low, high = min(self.values), max(self.values)
        step = (_CHART_WIDTH - 2 * _CHART_MARGIN) / (len(self.values) - 1)
        scale = (_CHART_HEIGHT - 2 * _CHART_MARGIN) / (high - low) if high > low else 0.0
        bottom = _CHART_HEIGHT - _CHART_MARGIN if scale else _CHART_HEIGHT / 2
        return [
            (round(_CHART_MARGIN + index * step, 1), round(bottom - (value - low) * scale, 1))
            for index, value in enumerate(self.values)
        ]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a task failed or was skipped, and what to do."""

    heading: str
    text: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingView:
    """Content of the tab."""

    task_name: str
    phase: Phase
    has_ended: bool
    sentence: str
    reason: Reason | None
    progress: Progress | None
    model: ModelSummary | None
    trend: Trend | None
    facts: tuple[tuple[str, Any], ...]
    akkio_task_id: str | None

    @classmethod
    def of(cls, task: TaskDetails, now: datetime) -> TrainingView:
        """Return the content of the tab.

        :param task: the task instance.
        :param now: the current time.
        """
        phase = Phase.of(task)
        xcoms = task.xcoms if task.has_started else {}
        status = AkkioStatusUpdate.from_json(xcoms.get(STATUS_KEY))
        parameters = {name: task.rendered[name] for name in _PARAMETERS if name in task.rendered}
        akkio_task_id = xcoms.get("akkio_task_id") or task.rendered.get("akkio_task_id")
        # A task can also fail after it pushed its model, for example in a callback.
        has_model = task.model_id is not None and phase in (Phase.DONE, Phase.FAILED)
        model = ModelSummary.of(task.xcoms) if has_model else None
        return cls(
            task_name=task.task_name,
            phase=phase,
            has_ended=task.state in _ENDED,
            sentence=_sentence(task, phase, status),
            reason=_reason(task, phase, xcoms.get(ERROR_KEY)),
            progress=_progress(parameters, status, now) if phase is Phase.TRAINING else None,
            model=model,
            trend=Trend.of([*map(main_metric, task.past_stats), model.main_metric]) if model else None,
            facts=tuple(_facts(task, parameters, status)),
            akkio_task_id=akkio_task_id if isinstance(akkio_task_id, str) else None,
        )


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A row in the list of trainings."""

    task: TrainingTask
    phase: Phase
    metric: ModelMetric | None
    trend: Trend | None

    @classmethod
    def of(cls, task: TrainingTask, past_stats: Iterable[tuple[int, Any]]) -> Self:
        """Return the row of a training.

        :param task: the task instance.
        :param past_stats: pairs of ``dag_run_id`` and ``stats`` of the task, oldest first.
        """
        metrics = {run: main_metric(stats) for run, stats in past_stats if run <= task.dag_run_id}
        metric = metrics.get(task.dag_run_id)
        trend = None if metric is None else Trend.of(list(metrics.values())[-MAX_RUNS:])
        return cls(task, Phase.of(task), metric, trend)

    @property
    def path(self) -> str:
        """Path of the training's own page."""
        task = self.task
        return f"{task_path(task.dag_id, task.run_id, task.task_id)}?map_index={task.map_index}"


def format_time(time: datetime | None) -> str:
    """Return a time in UTC; empty for ``None``."""
    return "" if time is None else pendulum.instance(time).in_timezone("UTC").format("YYYY-MM-DD HH:mm:ss [UTC]")


def _sentence(task: TaskDetails, phase: Phase, status: AkkioStatusUpdate | None) -> str:
    match phase:
        case Phase.WAITING:
            return f"The task has not started; its state is {task.state or 'not scheduled'}."
        case Phase.TRAINING:
            return _training_sentence(task, status)
        case Phase.DONE:
            elsewhere = " An XCom backend stores it outside the database, so this page cannot show it."
            return f"Akkio trained the model.{elsewhere if task.is_model_elsewhere else ''}"
        case Phase.FAILED:
            return f"The task failed {'after Akkio trained the' if task.has_model else 'without a'} model."
        case Phase.SKIPPED | Phase.NOT_RUN:
            return f"The task {'was skipped' if phase is Phase.SKIPPED else f'did not run; its state is {task.state}'}."
        case Phase.NO_MODEL:
            return "The task pushed no model: it does not wait for completion or push XComs, or a user marked it."


def _training_sentence(task: TaskDetails, status: AkkioStatusUpdate | None) -> str:
    if _has_finished(status):
        return "Akkio finished the training; the task fetches the result next."
    if status is not None and (submitted_at := _from_epoch(status.submitted_at)) is not None:
        return f"Akkio accepted the training at {format_time(submitted_at)}; the task is {task.state}."
    return f"The task is {task.state}."


def _has_finished(status: AkkioStatusUpdate | None) -> bool:
    known = None if status is None else AkkioTaskState(status.status).known
    return known is not None and (known is AkkioTaskStatus.SUCCEEDED or known.is_failed)


def _reason(task: TaskDetails, phase: Phase, error: Any) -> Reason | None:
    text = error if isinstance(error, str) and error else None
    if phase is Phase.SKIPPED and text is not None and task.operator != "AkkioTrainOperator":
        return Reason("Reason", text, "soft_fail or never_fail is set, so the task was skipped instead of failed.")
    if phase is not Phase.FAILED:
        return None
    advice = "Fix the cause, then clear the task to run it again. The task's log has the details."
    if task.state == "up_for_retry":
        advice = f"This was try {task.try_number}. Airflow will retry the task."
    return Reason("Error", text or "The task recorded no error here. See the task's log.", advice)


def _facts(
    task: TaskDetails, parameters: Mapping[str, Any], status: AkkioStatusUpdate | None
) -> Iterator[tuple[str, Any]]:
    for name, label in _PARAMETERS.items():
        if (value := parameters.get(name)) not in _UNSET:
            yield label, _format_parameter(name, value)
    if status is not None:
        since = format_time(_from_epoch(status.since))
        yield "Status at Akkio", f"{printable(status.status)}{since and f', since {since}'}"
    yield from (("DAG", task.dag_id), ("Run", task.run_id), ("Try", str(task.try_number)))
    if task.has_started:
        times = (("Started", task.started_at), ("Ended", task.ended_at))
        yield from ((label, format_time(time)) for label, time in times if time)


def _progress(parameters: Mapping[str, Any], status: AkkioStatusUpdate | None, now: datetime) -> Progress | None:
    """Return the elapsed time; ``None`` if the time of the submission is unknown, as in a sensor."""
    if status is None or (submitted_at := _from_epoch(status.submitted_at)) is None or _has_finished(status):
        return None
    elapsed = max(0.0, (now - submitted_at).total_seconds())
    if status.estimate_seconds:
        return Progress(elapsed, status.estimate_seconds, "Akkio's estimate")
    try:
        return Progress(elapsed, float(Duration(int(parameters.get("duration", 0)))), "the requested duration")
    except (TypeError, ValueError):
        return None


def _from_epoch(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else pendulum.from_timestamp(seconds)
    except (ValueError, OverflowError, OSError):
        return None


def _format_parameter(name: str, value: Any) -> Any:
    if name == "duration":
        return f"{value} s"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return tuple(map(str, value)) if isinstance(value, list | tuple) else str(value)
