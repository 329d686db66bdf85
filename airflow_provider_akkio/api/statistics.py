"""Read the statistics of a trained model: one metric, a summary of the whole result, and log lines.

Source: Akkio's Training page. ``stats`` is a list with one list per predicted field, which has one object per class.
Akkio does not publish the shape for a number field, so every number in it counts as a metric, except numbers of rows.
A part with an unexpected shape is omitted; it is not an error, because the model exists and was paid for.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import TrainingResult
from airflow_provider_akkio.exceptions import AkkioParameterError

_NOT_METRICS = frozenset({"field", "class", "frequency"})
_ROW_COUNT_WORDS = frozenset({"count", "counts", "rows", "samples", "support", "positives", "negatives"})
_ROW_COUNT_NAMES = frozenset({"n", "size", "total"})
_MAIN_METRICS = ("f1", "r2", "rmse", "mae")


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """One metric of a model.

    :param metric: name of the metric, as Akkio sent it.
    :param value: its value.
    :param field_name: the predicted field.
    :param class_name: the class; ``None`` for the mean over all classes.
    """

    metric: str
    value: float
    field_name: str
    class_name: str | None = None


def parse_statistics(value: Any) -> list[list[Mapping[str, Any]]]:
    """Validate the ``stats`` of a training.

    :param value: the list that Akkio sent, or its text as a rendered template contains it.
    :return: per predicted field, one mapping per class.
    :raises AkkioParameterError: if the value has another shape.
    """
    parsed = _parse_text(value) if isinstance(value, str) else value
    statistics = [_list(classes) for classes in _list(parsed)]
    if not statistics or not all(classes and _mappings(classes) == classes for classes in statistics):
        raise AkkioParameterError(
            f"stats must be the statistics of a training, such as train.output['stats'], not {printable(repr(value))}."
        )
    return statistics


def get_metric(
    statistics: Sequence[Sequence[Mapping[str, Any]]],
    metric: str,
    field_name: str | None = None,
    class_name: str | None = None,
) -> ModelMetric:
    """Return a metric of one class, or its mean over all classes, weighted by their frequency.

    :param statistics: what :func:`parse_statistics` returned.
    :param metric: name of the metric, such as ``f1`` or ``precision``.
    :param field_name: the predicted field; may be ``None`` if the model predicts one field only.
    :param class_name: the class; ``None`` for all classes.
    :raises AkkioParameterError: if the metric, field or class is missing; the message lists what is available.
    """
    classes = _select_field(statistics, field_name)
    name = str(classes[0].get("field_name") or "")
    if class_name is not None:
        available = _join(entry.get("class_name") for entry in classes)
        classes = [entry for entry in classes if entry.get("class_name") == class_name]
        if not classes:
            raise AkkioParameterError(
                f"Field {printable(name)!r} has no class {printable(class_name)!r}; available: {available}."
            )
    values = [value for entry in classes if (value := finite(entry.get(metric))) is not None]
    if len(values) < len(classes):
        raise AkkioParameterError(
            f"The statistics of field {printable(name)!r} have no metric {printable(metric)!r}; "
            f"available: {_join(_metric_names(classes))}."
        )
    return ModelMetric(metric, _weighted_mean(values, classes), name, class_name)


def main_metric(stats: Any) -> ModelMetric | None:
    """Return the metric that represents a model: F1 of its first field, or R² if that is a number field.

    Without these, it is the first metric that Akkio sent. A number of rows is not a metric.

    :param stats: the ``stats`` that Akkio sent; text is not parsed, because that can take seconds.
    :return: ``None`` if the statistics contain no metric.
    """
    if isinstance(stats, str):
        return None
    try:
        first_field = parse_statistics(stats)[:1]
        names = {name.lower(): name for name in _metric_names(first_field[0]) if not _is_row_count(name)}
        metric = next((names[name] for name in (*_MAIN_METRICS, *names) if name in names), None)
        return None if metric is None else get_metric(first_field, metric)
    except AkkioParameterError:
        return None


def finite(value: Any) -> float | None:
    """Return a number as a finite float; ``None`` for every other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """Test results of one class; a number that Akkio did not send is ``None``."""

    name: str
    count: float | None
    frequency: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    true_positives: float | None
    false_negatives: float | None
    false_positives: float | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read an object of ``stats``."""
        name = entry.get("class_name", entry.get("class"))
        numbers = {field.name: finite(entry.get(field.name.replace("_", " "))) for field in fields(cls)[1:]}
        return cls("" if name is None else str(name), **numbers)


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """Test results of one predicted field.

    :param name: the field.
    :param classes: its classes in Akkio's order; empty for a number field.
    :param metrics: metrics of a number field by Akkio's names; empty for a category.
    :param row_count: number of test rows; ``None`` if unknown.
    """

    name: str
    classes: tuple[ClassSummary, ...] = ()
    metrics: tuple[tuple[str, float], ...] = ()
    row_count: int | None = None

    @classmethod
    def of(cls, entries: Sequence[Mapping[str, Any]]) -> Self:
        """Read an element of ``stats``."""
        name = str(entries[0].get("field_name") or "")
        row_count = _total(_numbers(entries, "count"))
        if any("class_name" in entry or "class" in entry for entry in entries):
            return cls(name, classes=tuple(map(ClassSummary.of, entries)), row_count=row_count)
        items = ((key, value) for entry in entries for key, value in entry.items() if key not in ("field", "count"))
        metrics = ((str(key), number) for key, value in items if (number := finite(value)) is not None)
        return cls(name, metrics=tuple(metrics), row_count=row_count)

    @property
    def correct_count(self) -> int | None:
        """Number of test rows that the model predicted correctly; ``None`` if unknown."""
        return _total(entry.true_positives for entry in self.classes)

    @property
    def most_missed(self) -> ClassSummary | None:
        """The class with most false negatives; ``None`` without false negatives."""
        missed = [entry for entry in self.classes if entry.false_negatives]
        return max(missed, key=lambda entry: entry.false_negatives or 0.0, default=None)


@dataclass(frozen=True, slots=True)
class OutcomeStory:
    """Akkio's data story of one outcome: its share in the best case (top), in all rows and in the worst case.

    Each cause is a field, and its values for which the outcome is most and least frequent.
    """

    field: str
    outcome: str
    top: float | None
    average: float | None
    bottom: float | None
    causes: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, field: str, entry: Mapping[str, Any]) -> Self:
        """Read an outcome of ``data_story``."""
        return cls(
            field=field,
            outcome=str(entry.get("outcome", "")),
            top=finite(entry.get("top_case")),
            average=finite(entry.get("avg_case")),
            bottom=finite(entry.get("bottom_case")),
            causes=tuple(
                (str(cause["field"]), str(cause.get("top_value", "")), str(cause.get("bottom_value", "")))
                for cause in _mappings(entry.get("causes"))
                if "field" in cause
            ),
        )


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A trained model; ``importance`` has pairs of field name and share, the most important field first."""

    model_id: str
    main_metric: ModelMetric | None
    fields: tuple[FieldSummary, ...]
    importance: tuple[tuple[str, float], ...]
    story: tuple[OutcomeStory, ...]

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> Self:
        """Summarize a result.

        :param parts: XComs of a training, or Akkio's response; must contain ``model_id``.
        """
        stats, importance = parts.get("stats"), parts.get("field_importance")
        shares = importance.items() if isinstance(importance, Mapping) else ()
        known = [(str(name), share) for name, value in shares if (share := finite(value)) is not None]
        return cls(
            model_id=str(parts["model_id"]),
            main_metric=main_metric(stats),
            fields=tuple(FieldSummary.of(entries) for entries in map(_mappings, _list(stats)) if entries),
            importance=tuple(sorted(known, key=lambda item: -item[1])),
            story=tuple(
                OutcomeStory.of(str(field.get("name") or ""), outcome)
                for field in _mappings(parts.get("data_story"))
                for outcome in _mappings(field.get("outcomes"))
            ),
        )


_MAX_LOG_NAME = 32
_MAX_LOG_RESULTS = 3
_MAX_LOG_FIELDS = 3
_LOG_BAR_WIDTH = 20


def log_lines(summary: ModelSummary) -> list[str]:
    """Return at most eight lines about a model: its main metric, test results and most important fields."""
    first = f"model {printable(summary.model_id)}"
    if (metric := summary.main_metric) is not None:
        first += f": {metric.metric} of {_shorten(metric.field_name)!r} {metric.value:.3g}"
    results = [line for field in summary.fields for line in _result_lines(field)]
    if len(results) > _MAX_LOG_RESULTS:
        hidden = len(results) - _MAX_LOG_RESULTS + 1
        results[_MAX_LOG_RESULTS - 1 :] = [f"  … and {hidden} more"]
    return [first, *results, *_importance_lines(summary)]


def log_model(log: Any, result: TrainingResult) -> None:
    """Log a summary of a result at the end of a task, one record per line.

    :param log: logger of the task or trigger.
    :param result: the result of the training.
    """
    parts = {field.name: getattr(result, field.name) for field in fields(result)}
    try:
        first, *others = log_lines(ModelSummary.of(parts))
    except Exception:  # a defect here must not fail a task whose model exists and is paid for
        log.warning("Akkio trained model %s; its statistics cannot be displayed.", result.model_id, exc_info=True)
        return
    log.info("Akkio trained %s", first)
    for line in others:
        log.info("%s", line)


def _parse_text(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, Mapping)]


def _join(names: Iterable[Any]) -> str:
    return ", ".join(printable(str(name)) for name in names) or "none"


def _select_field(statistics: Sequence[Sequence[Mapping[str, Any]]], name: str | None) -> Sequence[Mapping[str, Any]]:
    if name is None and len(statistics) == 1:
        return statistics[0]
    by_name = {str(classes[0].get("field_name") or ""): classes for classes in statistics}
    if name is None:
        raise AkkioParameterError(f"The model predicts several fields; set field_name to one of: {_join(by_name)}.")
    if name not in by_name:
        raise AkkioParameterError(f"The model does not predict field {printable(name)!r}; available: {_join(by_name)}.")
    return by_name[name]


def _metric_names(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the numbers that every class has."""
    return [name for name in classes[0] if name not in _NOT_METRICS and None not in _numbers(classes, name)]


def _is_row_count(name: str) -> bool:
    words = {word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", name)}
    return name.lower() in _ROW_COUNT_NAMES or not _ROW_COUNT_WORDS.isdisjoint(words)


def _numbers(classes: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    return [finite(entry.get(name)) for entry in classes]


def _weighted_mean(values: Sequence[float], classes: Sequence[Mapping[str, Any]]) -> float:
    for name in ("frequency", "count"):
        weights = [weight for weight in _numbers(classes, name) if weight is not None]
        if len(values) > 1 and len(weights) == len(values) and sum(weights) > 0:
            return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
    return sum(values) / len(values)


def _total(counts: Iterable[float | None]) -> int | None:
    known = list(counts)
    if not known or None in known:
        return None
    total = finite(sum(count for count in known if count is not None))
    return None if total is None else round(total)


def _result_lines(field: FieldSummary) -> Iterator[str]:
    name = _shorten(field.name)
    if field.metrics:
        rows = [] if field.row_count is None else [f"{field.row_count} rows"]
        shown = (f"{_shorten(metric)} {value:.4g}" for metric, value in field.metrics[:5])
        yield f"  {name}:  {'  '.join([*rows, *shown])}"
    for entry in sorted(field.classes, key=lambda entry: -(entry.count or 0.0)):
        count = "" if entry.count is None else f"{entry.count:.0f} rows"
        metrics = (("precision", entry.precision), ("recall", entry.recall), ("F1", entry.f1))
        numbers = [count, *(f"{metric} {value:.2f}" for metric, value in metrics if value is not None)]
        yield f"  {name} = {_shorten(entry.name)}:  {'  '.join(filter(None, numbers))}"


def _importance_lines(summary: ModelSummary) -> Iterator[str]:
    shares = [(_shorten(name), share) for name, share in summary.importance[:_MAX_LOG_FIELDS] if share > 0]
    if not shares:
        return
    yield "most important fields"
    width = max(len(name) for name, _ in shares)
    for name, share in shares:
        bar = "█" * max(1, round(_LOG_BAR_WIDTH * (share / shares[0][1])))
        yield f"  {name:{width}}  {bar:{_LOG_BAR_WIDTH}} {share:6.1%}"


def _shorten(text: str) -> str:
    clean = printable(text)
    return clean if len(clean) <= _MAX_LOG_NAME else clean[: _MAX_LOG_NAME - 1] + "…"
