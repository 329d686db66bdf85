"""Quality, field importance and data story of a model, in the documented shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    mean_absolute_error,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
    r2_score,
    root_mean_squared_error,
)

from airflow_provider_akkio.sandbox.datasets import FloatArray, format_number, is_continuous, parse_numbers

BoolArray = NDArray[np.bool_]

_MAX_CAUSES = 5
_MIN_SHARE_OF_GROUP = 0.02


def field_statistics(
    position: int, name: str, classes: Sequence[str], actual: NDArray[Any], predicted: NDArray[Any]
) -> list[dict[str, Any]]:
    """Return the ``stats`` of a predicted field: one entry per class, or a single one for a number.

    Akkio does not publish the entry of a number. Here, ``rmse`` and ``mae`` have the unit of the field, and ``r2`` is
    the explained share of the variance.

    :param position: position of the field in the dataset, from 0.
    :param name: name of the field.
    :param classes: class names in their order; empty for a number.
    :param actual: value of each held-out row.
    :param predicted: value that the model predicts for each held-out row.
    """
    field = {"field": position, "field_name": name, "field_type": "category" if classes else "number"}
    if not classes:
        errors = {
            "rmse": float(root_mean_squared_error(actual, predicted)),
            "mae": float(mean_absolute_error(actual, predicted)),
            "r2": float(r2_score(actual, predicted)),
        }
        return [{**field, "count": len(actual), **errors}]
    matrices = multilabel_confusion_matrix(actual, predicted, labels=classes)
    scores = precision_recall_fscore_support(actual, predicted, labels=classes, zero_division=0.0)
    return [
        {
            **field,
            "class": position,
            "class_name": class_name,
            "count": int(count),
            "true positives": int(matrix[1, 1]),
            "false positives": int(matrix[0, 1]),
            "false negatives": int(matrix[1, 0]),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "frequency": int(count) / len(actual),
        }
        for position, (class_name, matrix, precision, recall, f1, count) in enumerate(
            zip(classes, matrices, *scores, strict=True)
        )
    ]


def group_rows(cells: Sequence[str], *, is_numeric: bool) -> dict[str, BoolArray]:
    """Return per frequent value of a field which rows have it; continuous numbers are grouped by quartile.

    :param cells: cells of the field.
    :param is_numeric: whether the cells are numbers.
    """
    labels = np.array(_number_labels(parse_numbers(cells)) if is_numeric else cells, dtype=object)
    counts = Counter(labels.tolist())
    frequent = [value for value, count in counts.items() if value and count >= _MIN_SHARE_OF_GROUP * len(labels)]
    return {value: labels == value for value in sorted(frequent)}


def _number_labels(numbers: FloatArray) -> list[str]:
    if not is_continuous(numbers):
        return ["" if np.isnan(number) else format_number(number) for number in numbers]
    edges = np.unique(np.nanquantile(numbers, (0, 0.25, 0.5, 0.75, 1)))
    shown = [format_number(float(f"{edge:.4g}")) for edge in edges]
    names = [f"{low} to {high}" for low, high in pairwise(shown)]
    positions = np.digitize(numbers, edges[1:-1])
    return ["" if np.isnan(number) else names[position] for number, position in zip(numbers, positions, strict=True)]


def data_story(
    name: str, field_type: str, outcomes: Mapping[str, BoolArray], causes: Iterable[tuple[str, dict[str, BoolArray]]]
) -> dict[str, Any]:
    """Return how often each outcome of a field occurs, and which values of other fields it occurs with most and least.

    :param name: predicted field.
    :param field_type: its type.
    :param outcomes: per outcome which rows have it.
    :param causes: other fields and their groups of rows, the most important field first; the first five fields with
        several groups are used.
    """
    used = dict(islice(((field, groups) for field, groups in causes if len(groups) > 1), _MAX_CAUSES))
    return {
        "name": name,
        "type": field_type,
        "outcomes": [_outcome(outcome, happened, used) for outcome, happened in outcomes.items()],
    }


def _outcome(outcome: str, happened: BoolArray, causes: Mapping[str, dict[str, BoolArray]]) -> dict[str, Any]:
    average = float(happened.mean())
    top_case = bottom_case = average
    shown = []
    for field, groups in causes.items():
        shares = {value: float(happened[rows].mean()) for value, rows in groups.items()}
        top, bottom = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
        shown.append({"field": field, "top_value": top, "bottom_value": bottom})
        top_case, bottom_case = max(top_case, shares[top]), min(bottom_case, shares[bottom])
    return {
        "outcome": outcome,
        "causes": shown,
        "top_case": top_case,
        "avg_case": average,
        "bottom_case": bottom_case,
    }
