"""What a model's statistics say in one number.

Source: ``stats`` of Akkio's Training page: per predicted field a list with one object per class. The shape for a number
field is not published, so any number in it counts.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError

_NOT_MEASURES = frozenset({"field", "class", "count", "frequency"})
_HEADLINES = ("f1", "r2", "rmse", "mae")


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """One number that tells how good a model is.

    :param metric: its name, as Akkio has it.
    :param value: the number.
    :param field_name: the predicted field that it is about.
    :param class_name: the class that it is about; ``None`` for all of them.
    """

    metric: str
    value: float
    field_name: str
    class_name: str | None = None


def parse_statistics(value: Any) -> list[list[Mapping[str, Any]]]:
    """Return a model's ``stats``, also if a template has made a text of them.

    :param value: the ``stats`` of a training's XComs.
    :raises AkkioParameterError: if they are none.
    """
    if isinstance(value, str):
        value = _literal(value)
    fields = value if isinstance(value, list | tuple) else ()
    statistics = [list(classes) for classes in fields if isinstance(classes, list | tuple)]
    is_statistics = statistics and len(statistics) == len(fields) and all(statistics)
    if not is_statistics or not all(isinstance(one, Mapping) for classes in statistics for one in classes):
        raise AkkioParameterError(
            f"stats must be the statistics of a training, such as train.output['stats'], not {printable(repr(value))}."
        )
    return statistics


def measure(
    statistics: Sequence[Sequence[Mapping[str, Any]]],
    metric: str,
    field_name: str | None = None,
    class_name: str | None = None,
) -> ModelMetric:
    """Return a metric of a model: of one class, or its mean over the classes, weighted by their frequency.

    :param statistics: what :func:`parse_statistics` returned.
    :param metric: its name, as Akkio has it, such as ``f1`` or ``precision``.
    :param field_name: the predicted field; ``None`` if there is only one.
    :param class_name: the class; ``None`` for all.
    :raises AkkioParameterError: if it is not there; the message lists what is.
    """
    classes = _field(statistics, field_name)
    named = str(classes[0].get("field_name") or "")
    if class_name is not None:
        chosen = [one for one in classes if one.get("class_name") == class_name]
        if not chosen:
            there = _listed(one.get("class_name") for one in classes)
            raise AkkioParameterError(
                f"Field {printable(named)!r} has no class {printable(class_name)!r}; there are: {there}."
            )
        classes = chosen
    values = [finite(one.get(metric)) for one in classes]
    known = [value for value in values if value is not None]
    if len(known) < len(classes):
        raise AkkioParameterError(
            f"The statistics of field {printable(named)!r} have no metric {printable(metric)!r}; there are: "
            f"{_listed(_metrics(classes))}."
        )
    return ModelMetric(metric, _mean(known, classes), named, class_name)


def main_metric(stats: Any) -> ModelMetric | None:
    """Return the one number to show for a model: the F1 score of its first field, or for a number field its R².

    :param stats: as Akkio sent them.
    :return: ``None`` if they hold no number.
    """
    try:
        statistics = parse_statistics(stats)
        metrics = _metrics(statistics[0])
        metric = next((one for one in (*_HEADLINES, *metrics) if one in metrics), None)
        return None if metric is None else measure(statistics[:1], metric)
    except AkkioParameterError:
        return None


def finite(value: Any) -> float | None:
    """Return a number if it is a finite one that fits into a float, and ``None`` for all else.

    :param value: whatever Akkio sent.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return text


def _field(statistics: Sequence[Sequence[Mapping[str, Any]]], name: str | None) -> Sequence[Mapping[str, Any]]:
    if name is None and len(statistics) == 1:
        return statistics[0]
    named = {str(classes[0].get("field_name") or ""): classes for classes in statistics}
    if name is None:
        raise AkkioParameterError(f"The model predicts several fields; field_name must be one of: {_listed(named)}.")
    if name not in named:
        raise AkkioParameterError(f"The model does not predict field {printable(name)!r}; there are: {_listed(named)}.")
    return named[name]


def _metrics(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the numbers that all classes have."""
    names = [name for name, value in classes[0].items() if finite(value) is not None and name not in _NOT_MEASURES]
    return [name for name in names if all(finite(one.get(name)) is not None for one in classes)]


def _mean(values: Sequence[float], classes: Sequence[Mapping[str, Any]]) -> float:
    if len(values) == 1:
        return values[0]
    for weight in ("frequency", "count"):
        weights = [number for one in classes if (number := finite(one.get(weight))) is not None]
        if len(weights) == len(classes) and sum(weights) > 0:
            return sum(map(lambda value, part: value * part, values, weights)) / sum(weights)
    return sum(values) / len(values)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(printable(str(name)) for name in names) or "none"
