"""How good the predictions of the held-out rows are, in the shape of Akkio's Training page."""

from __future__ import annotations

from typing import Any

import numpy as np

from airflow_provider_akkio.sandbox.columns import FieldKind, FloatArray
from airflow_provider_akkio.sandbox.targets import Target


def compute_statistics(target: Target, actual: FloatArray, predicted: FloatArray) -> list[dict[str, Any]]:
    """Return one object per class of a category, or a single one for a number.

    Akkio does not publish its shape for a number. The sandbox gives ``count``, ``rmse`` (root of the mean squared
    error) and ``mae`` (mean absolute error), both in the field's unit, and ``r2`` (share of the variance explained).

    :param target: the predicted field.
    :param actual: what the held-out rows hold, in the form of ``target.values``.
    :param predicted: what the model says about them, in the same form.
    """
    field = {"field": target.field, "field_name": target.name, "field_type": target.kind.value}
    if target.kind is FieldKind.NUMBER:
        return [{**field, **_errors(actual, predicted)}]
    return [
        {**field, "class": position, "class_name": name, **_counts(actual == position, predicted == position)}
        for position, name in enumerate(target.classes)
    ]


def _counts(actual: Any, predicted: Any) -> dict[str, float]:
    true_positives = int(np.sum(actual & predicted))
    false_positives = int(np.sum(~actual & predicted))
    false_negatives = int(np.sum(actual & ~predicted))
    return {
        "count": true_positives + false_negatives,
        "true positives": true_positives,
        "false positives": false_positives,
        "false negatives": false_negatives,
        "precision": _ratio(true_positives, true_positives + false_positives),
        "recall": _ratio(true_positives, true_positives + false_negatives),
        "f1": _ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives),
        "frequency": _ratio(true_positives + false_negatives, len(actual)),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _errors(actual: FloatArray, predicted: FloatArray) -> dict[str, float]:
    errors = predicted - actual
    squares, spread = float(np.sum(errors**2)), float(np.sum((actual - actual.mean()) ** 2))
    return {
        "count": len(actual),
        "rmse": float(np.sqrt(squares / len(actual))),
        "mae": float(np.mean(np.abs(errors))),
        "r2": 1 - squares / spread if spread else 0.0,
    }
