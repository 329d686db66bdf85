"""Training of random forests with scikit-learn, and their predictions."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.utils import resample
from sklearn.utils.class_weight import compute_sample_weight

from airflow_provider_akkio.sandbox.datasets import (
    Cell,
    Dataset,
    FieldType,
    FloatArray,
    are_numbers,
    cast_cell,
    cell_text,
    parse_numbers,
)
from airflow_provider_akkio.sandbox.encoding import Encoder, field_encoder, sort_values
from airflow_provider_akkio.sandbox.statistics import data_story, field_statistics, group_rows

_TREES = {1: 50, 10: 100, 60: 200, 300: 300, 1800: 500}
"""Number of trees by ``duration``."""

_SEED = 2014
_HELD_OUT_SHARE = 0.2
# Bounds the memory, and the time until a training notices that it must stop.
_MAX_CELLS = 500_000
_TREES_PER_STEP = 5
_SHARE_OF_TIME_FOR_TREES = 0.5

_MIN_ROWS = 10
_MAX_CLASSES = 50
_MAX_CLASSES_PER_ROW = 0.3
_NUMBERS_ARE_TEXT = " Its numbers are text: parse the fields of the dataset (parse_fields), or set the field's type."

# With one job, which is the default, a forest starts no thread and calls no library that does.
_FOREST: dict[str, Any] = {
    "min_samples_leaf": 2,
    "max_leaf_nodes": 256,
    "max_features": 0.5,
    "random_state": _SEED,
    "warm_start": True,
}


class UntrainableError(ValueError):
    """The dataset and the parameters do not allow a model."""


class TrainingStoppedError(Exception):
    """The sandbox was stopped during the training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingParameters:
    """Parameters of a training; together with the dataset they determine the model.

    :param predict_fields: fields to predict.
    :param ignore_fields: fields to ignore, sorted.
    :param duration: maximum seconds of the training; a longer one grows more trees.
    :param extra_attention: weight rare classes as much as frequent ones; no effect on a number.
    """

    predict_fields: tuple[str, ...]
    ignore_fields: tuple[str, ...] = ()
    duration: int = 10
    extra_attention: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """Outcome of a training; the last three attributes are in the documented shapes.

    :param features: fields that the model predicts from, and their types.
    :param encoders: encoder of each feature.
    :param forests: a random forest per predicted field.
    :param stats: quality of the predictions for held-out rows.
    :param field_importance: share of each field in the decisions; the shares add up to 1.
    :param data_story: outcomes of each predicted field and their causes.
    """

    features: Mapping[str, FieldType]
    encoders: Mapping[str, Encoder]
    forests: Mapping[str, Any]
    stats: list[list[dict[str, Any]]]
    field_importance: dict[str, float]
    data_story: list[dict[str, Any]]

    def predict(self, rows: Sequence[Mapping[str, Cell]], *, explain: bool) -> list[dict[str, Any]]:
        """Return a prediction for each row.

        :param rows: values by field name; a missing field counts as an empty cell, an unknown field is ignored.
        :param explain: add the effect of each field, compared with the prediction for the row without that field.
        """
        predictions: list[dict[str, Any]] = [{} for _ in rows]
        if not rows:
            return predictions
        matrix = _encode(self.encoders, {name: [cell_text(row.get(name)) for row in rows] for name in self.features})
        for name, forest in self.forests.items():
            for prediction, values in zip(predictions, _predict(name, forest, matrix), strict=True):
                prediction.update(values)
            if explain:
                for prediction, effects in zip(predictions, _explain(forest, matrix).tolist(), strict=True):
                    prediction.setdefault("explanation", {}).update(zip(self.features, effects, strict=True))
        return predictions

    def transform(self, rows: Sequence[Mapping[str, Cell]]) -> list[dict[str, Cell]]:
        """Return the features of each row as the model sees them: cast to the types of the fields.

        :param rows: values by field name; a missing field counts as an empty cell, an unknown field is ignored.
        """
        return [
            {name: cast_cell(cell_text(row.get(name)), field_type) for name, field_type in self.features.items()}
            for row in rows
        ]


def _encode(encoders: Mapping[str, Encoder], columns: Mapping[str, Sequence[str]]) -> FloatArray:
    return np.column_stack([encode(columns[name]) for name, encode in encoders.items()])


def _predict(name: str, forest: Any, matrix: FloatArray) -> list[dict[str, Any]]:
    if isinstance(forest, RandomForestRegressor):
        return [{name: number} for number in forest.predict(matrix).tolist()]
    keys = [f"Probability {name} is {one}" for one in forest.classes_]
    return [
        {name: forest.classes_[row.argmax()], **dict(zip(keys, row.tolist(), strict=True))}
        for row in forest.predict_proba(matrix)
    ]


def _explain(forest: Any, matrix: FloatArray) -> FloatArray:
    """Return the effect of each column on the predicted number, or on the probability of the predicted class."""
    is_number = isinstance(forest, RandomForestRegressor)
    rows = np.arange(len(matrix))
    predicted = rows if is_number else forest.predict_proba(matrix).argmax(axis=1)

    def output(seen: FloatArray) -> FloatArray:
        return np.asarray(forest.predict(seen) if is_number else forest.predict_proba(seen)[rows, predicted])

    whole, effects = output(matrix), []
    for column in range(matrix.shape[1]):
        without = matrix.copy()
        without[:, column] = np.nan
        effects.append(whole - output(without))
    return np.column_stack(effects)


@dataclass(frozen=True, slots=True)
class _Target:
    """A field to predict: its class names (none for a number), the rows with a value, and these values."""

    name: str
    classes: tuple[str, ...]
    rows: NDArray[np.int64]
    values: NDArray[Any]


def train(dataset: Dataset, parameters: TrainingParameters, stop: threading.Event) -> TrainedModel:
    """Train a model; the same arguments return the same model unless the duration ends the training early.

    :param dataset: dataset to train on; of a large one, a random sample of the rows is used.
    :param parameters: parameters of the training.
    :param stop: event that makes the training stop soon.
    :raises UntrainableError: if the dataset and the parameters do not allow a model.
    :raises TrainingStoppedError: if ``stop`` is set.
    """
    dataset = replace(dataset, types={name: dataset.field_type(name) for name in dataset.fields})
    ignored = {name for name in dataset.fields if dataset.types[name].is_disabled} | set(parameters.ignore_fields)
    _check_parameters(dataset, parameters, ignored)
    max_rows = _MAX_CELLS // (len(dataset.fields) * len(parameters.predict_fields))
    if len(dataset.rows) > max_rows:
        sample = resample(dataset.rows, replace=False, n_samples=max_rows, random_state=_SEED)
        dataset = replace(dataset, rows=tuple(sample))
    targets = [_target(dataset, name) for name in parameters.predict_fields]
    features = [name for name in dataset.fields if name not in ignored.union(parameters.predict_fields)]
    columns = {name: dataset.cells(name) for name in features}
    encoders = {name: field_encoder(cells, dataset.types[name]) for name, cells in columns.items()}
    matrix = _encode(encoders, columns)
    forests, stats, importances, stories = {}, [], [], []
    for target in targets:
        known, (learned, held_out) = matrix[target.rows], _split(target)
        forest = _grow_forest(target, known[learned], target.values[learned], parameters, stop)
        predicted = forest.predict(known[held_out])
        importances.append(_importance(features, forest))
        forests[target.name] = forest
        stats.append(
            field_statistics(
                dataset.fields.index(target.name), target.name, target.classes, target.values[held_out], predicted
            )
        )
        stories.append(_story(dataset, target, sorted(features, key=importances[-1].__getitem__, reverse=True)))
    return TrainedModel(
        features={name: dataset.types[name] for name in features},
        encoders=encoders,
        forests=forests,
        stats=stats,
        field_importance={
            name: float(np.mean([importance.get(name, 0.0) for importance in importances]))
            for name in dataset.fields
            if name not in ignored
        },
        data_story=stories,
    )


def _check_parameters(dataset: Dataset, parameters: TrainingParameters, ignored: set[str]) -> None:
    if not dataset.rows:
        raise UntrainableError(f"Dataset {dataset.id!r} has no rows.")
    predicted, fields = set(parameters.predict_fields), set(dataset.fields)
    for parameter, names in (("predict_fields", predicted), ("ignore_fields", ignored)):
        if names - fields:
            raise UntrainableError(f"Dataset {dataset.id!r} has no field {_quote(names - fields)} ({parameter}).")
    if both := predicted.intersection(parameters.ignore_fields):
        raise UntrainableError(f"Field {_quote(both)} cannot be both predicted and ignored.")
    for name in predicted:
        if dataset.types[name].is_disabled or dataset.types[name] is FieldType.DATE:
            raise UntrainableError(f"Field {name!r} has the type {dataset.types[name]}, which cannot be predicted.")
    if not fields - predicted - ignored:
        raise UntrainableError(f"Dataset {dataset.id!r} has no field left to predict {_quote(predicted)} from.")


def _quote(names: set[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _target(dataset: Dataset, name: str) -> _Target:
    cells, field_type = dataset.cells(name), dataset.types[name]
    if field_type.is_numeric:
        numbers = parse_numbers(cells)
        rows = np.flatnonzero(~np.isnan(numbers))
        target = _Target(name, (), rows, numbers[rows])
    else:
        labels = np.array(cells, dtype=object)
        rows = np.flatnonzero(labels != "")
        target = _Target(name, tuple(sort_values(cells)), rows, labels[rows])
    _check_target(target, is_text=field_type is FieldType.STRING and are_numbers(cells))
    return target


def _check_target(target: _Target, *, is_text: bool) -> None:
    row_count, class_count = len(target.rows), len(target.classes)
    max_classes = min(_MAX_CLASSES, int(_MAX_CLASSES_PER_ROW * row_count))
    if row_count < _MIN_ROWS:
        raise UntrainableError(f"Field {target.name!r} has a value in {row_count} rows; {_MIN_ROWS} are required.")
    if class_count == 1:
        raise UntrainableError(f"Field {target.name!r} has the value {target.classes[0]!r} in every row.")
    if class_count > max_classes:
        raise UntrainableError(
            f"Field {target.name!r} has {class_count} distinct values in {row_count} rows; at most {max_classes} "
            f"classes can be predicted.{_NUMBERS_ARE_TEXT if is_text else ''}"
        )


def _split(target: _Target) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of training rows and of held-out rows, in the same proportion for every class.

    scikit-learn's stratified split rejects a class with a single row; here that row is a training row.
    """
    random = np.random.default_rng(_SEED)
    is_held_out = np.zeros(len(target.rows), dtype=bool)
    for group in [target.values == name for name in target.classes] or [~is_held_out]:
        members = random.permutation(np.flatnonzero(group))
        count = min(len(members) - 1, max(1, round(len(members) * _HELD_OUT_SHARE)))
        is_held_out[members[:count]] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _grow_forest(
    target: _Target, matrix: FloatArray, values: NDArray[Any], parameters: TrainingParameters, stop: threading.Event
) -> Any:
    deadline = time.monotonic() + _SHARE_OF_TIME_FOR_TREES * parameters.duration / len(parameters.predict_fields)
    forest = RandomForestClassifier(**_FOREST) if target.classes else RandomForestRegressor(**_FOREST)
    weights = compute_sample_weight("balanced", values) if target.classes and parameters.extra_attention else None
    for tree_count in range(_TREES_PER_STEP, _TREES[parameters.duration] + 1, _TREES_PER_STEP):
        if stop.is_set():
            raise TrainingStoppedError("The sandbox was stopped.")
        forest.set_params(n_estimators=tree_count).fit(matrix, values, sample_weight=weights)
        if time.monotonic() >= deadline:
            break
    return forest


def _importance(features: Sequence[str], forest: Any) -> dict[str, float]:
    shares = forest.feature_importances_ if forest.feature_importances_.any() else np.ones(len(features))
    return dict(zip(features, (shares / shares.sum()).tolist(), strict=True))


def _story(dataset: Dataset, target: _Target, features: Sequence[str]) -> dict[str, Any]:
    if target.classes:
        outcomes = {name: target.values == name for name in target.classes}
    else:
        is_high = target.values > np.median(target.values)
        outcomes = {"high": is_high, "low": ~is_high}
    known = replace(dataset, rows=tuple(dataset.rows[row] for row in target.rows))
    causes = ((name, group_rows(known.cells(name), is_numeric=dataset.types[name].is_numeric)) for name in features)
    return data_story(target.name, "category" if target.classes else "number", outcomes, causes)
