"""What a trained model says about rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from airflow_provider_akkio.sandbox.boosting import on_one_core
from airflow_provider_akkio.sandbox.columns import FieldKind, FloatArray
from airflow_provider_akkio.sandbox.learning import Predictor, TrainedModel
from airflow_provider_akkio.sandbox.uploads import CellValue, cell_text

EXPLANATION = "explanation"


def predict(model: TrainedModel, rows: Sequence[Mapping[str, CellValue]], *, explain: bool) -> list[dict[str, Any]]:
    """Return a prediction for each row: the value by its field's name, and each class's probability.

    :param model: what to ask.
    :param rows: field name to value; a field that is missing counts as empty, one that the model does not know is
        left aside.
    :param explain: add by how much each field changes the prediction, compared with the row without it.
    """
    if not rows:
        return []
    predictions: list[dict[str, Any]] = [{} for _ in rows]
    with on_one_core():
        for predictor in model.predictors:
            matrix = _matrix(predictor, rows)
            for prediction, said in zip(predictions, _say(predictor, matrix), strict=True):
                prediction.update(said)
            if explain:
                for prediction, shares in zip(predictions, _explain(predictor, matrix), strict=True):
                    prediction.setdefault(EXPLANATION, {}).update(shares)
    return predictions


def _matrix(predictor: Predictor, rows: Sequence[Mapping[str, CellValue]]) -> FloatArray:
    columns = [
        code.encode([cell_text(row.get(code.name)) for row in rows])
        if code.categories is not None
        else np.array([_number(row.get(code.name)) for row in rows], dtype=np.float64)
        for code in predictor.codes
    ]
    return np.column_stack(columns)


def _number(value: CellValue) -> float:
    """Return a value of a field of numbers; NaN for one that is none, as for one that is missing."""
    try:
        number = float(value) if value is not None else np.nan
    except (ValueError, OverflowError):
        return np.nan
    return number if np.isfinite(number) else np.nan


def _say(predictor: Predictor, matrix: FloatArray) -> list[dict[str, Any]]:
    name = predictor.target.name
    if predictor.target.kind is FieldKind.NUMBER:
        return [{name: float(number)} for number in predictor.estimator.predict(matrix)]
    classes = predictor.target.classes
    positions = [int(position) for position in predictor.estimator.classes_]
    said = []
    for probabilities in predictor.estimator.predict_proba(matrix).tolist():
        by_class = dict(zip((classes[position] for position in positions), probabilities, strict=True))
        best = max(by_class, key=by_class.__getitem__)
        said.append({name: best, **{f"Probability {name} is {one}": share for one, share in by_class.items()}})
    return said


def _explain(predictor: Predictor, matrix: FloatArray) -> list[dict[str, float]]:
    whole = _strength(predictor, matrix, matrix)
    without = []
    for column in range(matrix.shape[1]):
        poorer = matrix.copy()
        poorer[:, column] = np.nan
        without.append(whole - _strength(predictor, matrix, poorer))
    names = [code.name for code in predictor.codes]
    return [dict(zip(names, shares, strict=True)) for shares in np.column_stack(without).tolist()]


def _strength(predictor: Predictor, matrix: FloatArray, seen: FloatArray) -> FloatArray:
    """Return the number that is predicted from what is seen, or the probability of the class that all would predict."""
    if predictor.target.kind is FieldKind.NUMBER:
        return np.asarray(predictor.estimator.predict(seen), dtype=np.float64)
    best = predictor.estimator.predict_proba(matrix).argmax(axis=1)
    probabilities = np.asarray(predictor.estimator.predict_proba(seen), dtype=np.float64)
    chosen: FloatArray = probabilities[np.arange(len(best)), best]
    return chosen
