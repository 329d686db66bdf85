"""A training from a dataset to a model: what it predicts, how well, what it goes by, and what the data tell."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from airflow_provider_akkio.api.types import Duration
from airflow_provider_akkio.sandbox.boosting import SEED, Allowance, Lesson, on_one_core
from airflow_provider_akkio.sandbox.columns import ColumnCode, FloatArray
from airflow_provider_akkio.sandbox.datasets import Dataset
from airflow_provider_akkio.sandbox.statistics import compute_statistics
from airflow_provider_akkio.sandbox.story import tell_story
from airflow_provider_akkio.sandbox.targets import Target, UntrainableError, find_target, hold_out

HELD_OUT_SHARE = 0.2
# What about one core learns from in that time, story and statistics included.
MOST_CELLS_PER_SECOND = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What makes two trainings the same: everything of a submission but ``force``.

    :param dataset_id: id of the dataset to train on.
    :param predict_fields: the fields to predict.
    :param ignore_fields: the fields to leave out.
    :param duration: how many seconds the training may take.
    :param extra_attention: let rare classes weigh as much as frequent ones; without effect on a number.
    """

    dataset_id: str
    predict_fields: tuple[str, ...]
    ignore_fields: frozenset[str]
    duration: Duration
    extra_attention: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A model of one field.

    :param target: the field.
    :param codes: how the cells that the model goes by become its columns, in their order.
    :param estimator: scikit-learn's model.
    """

    target: Target
    codes: tuple[ColumnCode, ...]
    estimator: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """What comes out of a training; the last three in the shapes of Akkio's Training page.

    :param predictors: one per predicted field.
    :param stats: per predicted field how well the held-out rows were predicted.
    :param field_importance: per field its share of the decision; the shares are not negative, and 1 in all.
    :param data_story: per predicted field its outcomes and their causes.
    """

    predictors: tuple[Predictor, ...]
    stats: list[list[dict[str, Any]]]
    field_importance: dict[str, float]
    data_story: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Study:
    predictor: Predictor
    stats: list[dict[str, Any]]
    shares: FloatArray
    story: dict[str, Any]


def learn(dataset: Dataset, parameters: Parameters, stopping: threading.Event) -> TrainedModel:
    """Train a model for each field to predict; the same arguments give the same one, unless its time runs out.

    Of a dataset that is too large for the duration, a random sample of the rows is taken.

    :param dataset: the rows.
    :param parameters: what to predict, from what, and in which time.
    :param stopping: when it is set, :class:`TrainingStopped` is raised soon.
    :raises UntrainableError: if no model can come out of it.
    """
    if not dataset.rows:
        raise UntrainableError(f"Dataset {dataset.id!r} has no rows.")
    causes = _find_causes(dataset, parameters)
    dataset = _sample(dataset, parameters)
    targets = [find_target(dataset, name) for name in parameters.predict_fields]
    codes = tuple(ColumnCode.learn(name, dataset.cells(name)) for name in causes)
    with on_one_core():
        studies = [_study(dataset, target, codes, parameters, stopping) for target in targets]
    shares = dict(zip(causes, np.mean([study.shares for study in studies], axis=0).tolist(), strict=True))
    return TrainedModel(
        predictors=tuple(study.predictor for study in studies),
        stats=[study.stats for study in studies],
        field_importance={
            name: shares.get(name, 0.0) for name in dataset.fields if name not in parameters.ignore_fields
        },
        data_story=[study.story for study in studies],
    )


def _find_causes(dataset: Dataset, parameters: Parameters) -> list[str]:
    """Return the fields to predict from; raise :class:`UntrainableError` if the parameters do not fit the dataset."""
    predicted, ignored = set(parameters.predict_fields), parameters.ignore_fields
    for parameter, names in (("predict_fields", predicted), ("ignore_fields", ignored)):
        if unknown := sorted(names - set(dataset.fields)):
            raise UntrainableError(f"Dataset {dataset.id!r} has no field {_quote(unknown)}, named in {parameter}.")
    if both := sorted(predicted & ignored):
        raise UntrainableError(f"Field {_quote(both)} cannot be both predicted and ignored.")
    causes = [name for name in dataset.fields if name not in predicted | ignored]
    if not causes:
        raise UntrainableError(f"Dataset {dataset.id!r} has no field left to predict {_quote(sorted(predicted))} from.")
    return causes


def _sample(dataset: Dataset, parameters: Parameters) -> Dataset:
    most_cells = MOST_CELLS_PER_SECOND * parameters.duration // len(parameters.predict_fields)
    most_rows = most_cells // len(dataset.fields)
    if len(dataset.rows) <= most_rows:
        return dataset
    picked = np.random.default_rng(SEED).choice(len(dataset.rows), most_rows, replace=False)
    return replace(dataset, rows=tuple(dataset.rows[row] for row in np.sort(picked)))


def _quote(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _study(
    dataset: Dataset,
    target: Target,
    codes: tuple[ColumnCode, ...],
    parameters: Parameters,
    stopping: threading.Event,
) -> _Study:
    lesson = Lesson(
        target=target,
        duration=parameters.duration,
        extra_attention=parameters.extra_attention,
        is_category=tuple(code.categories is not None for code in codes),
        allowance=Allowance(parameters.duration / len(parameters.predict_fields), stopping),
    )
    matrix = np.column_stack([code.encode(dataset.cells(code.name)) for code in codes])[target.rows]
    learned, held_out = hold_out(target.groups, HELD_OUT_SHARE, SEED)
    estimator = lesson.fit(matrix[learned], target.values[learned])
    actual = target.values[held_out]
    shares = lesson.weigh_columns(estimator, matrix[held_out], actual)
    ranked = [codes[position].name for position in np.argsort(-shares, kind="stable")]
    return _Study(
        predictor=Predictor(target=target, codes=codes, estimator=estimator),
        stats=compute_statistics(target, actual, estimator.predict(matrix[held_out])),
        shares=shares,
        story=tell_story(target, {name: _known(dataset.cells(name), target) for name in ranked}),
    )


def _known(cells: Sequence[str], target: Target) -> list[str]:
    return [cells[row] for row in target.rows]
