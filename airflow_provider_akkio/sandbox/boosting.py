"""Gradient boosted trees within a time allowance: how many rounds to learn for, and which columns the model goes by."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import ThreadpoolController

from airflow_provider_akkio.api.types import Duration
from airflow_provider_akkio.sandbox.columns import FieldKind, FloatArray
from airflow_provider_akkio.sandbox.targets import Target, hold_out

# Made as the sandbox is imported: to look for them while another thread imports a library can deadlock, with a
# threadpoolctl before 3.8 (joblib/threadpoolctl#239).
_LIBRARIES = ThreadpoolController()

SEED = 2014
WATCHED_SHARE = 0.2

TREES_PER_STEP = 30
MOST_ROUNDS_PER_STEP = 10
STEPS_OF_PATIENCE = 3
MOST_ROUNDS_PER_SECOND = 20
MOST_ROWS_IN_A_LEAF = 20
SHARE_IN_A_LEAF = 0.02

SHUFFLES_PER_COLUMN = 5
MOST_ROWS_TO_SHUFFLE = 1000

# Learning again on all rows takes about as long as the search for the number of rounds; shuffling gets what is left.
SEARCH_ENDS_AT = 0.3
SHUFFLING_ENDS_AT = 0.8


class TrainingStopped(Exception):
    """The sandbox is being stopped while it trains."""


def on_one_core() -> AbstractContextManager[object]:
    """Return a context in which this thread learns and predicts with one core.

    That is enough for tables of the sandbox's size, and leaves the others to whoever watches.
    """
    limited: AbstractContextManager[object] = _LIBRARIES.limit(limits=1)
    return limited


@dataclass(frozen=True, slots=True)
class Allowance:
    """The time that learning one field may take, and the word to stop at once.

    :param seconds: how long it may take, beginning now.
    :param stopping: is set when the sandbox ends.
    """

    seconds: float
    stopping: threading.Event
    _began: float = field(default_factory=time.monotonic, init=False)

    def is_used(self, share: float) -> bool:
        """Return whether this share of the time is over; raise :class:`TrainingStopped` if the sandbox ends."""
        if self.stopping.is_set():
            raise TrainingStopped
        return time.monotonic() - self._began >= share * self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What to learn, and within which limits.

    :param target: the field to predict.
    :param duration: a longer one learns in smaller steps, and for more rounds.
    :param extra_attention: let each class weigh the same, however rare; without effect on a number.
    :param is_category: per column whether its numbers stand for texts.
    :param allowance: the time that there is.
    """

    target: Target
    duration: Duration
    extra_attention: bool
    is_category: tuple[bool, ...]
    allowance: Allowance

    def fit(self, matrix: FloatArray, values: FloatArray) -> Any:
        """Return scikit-learn's model, learned from the rows of a matrix for as many rounds as make it better.

        :param matrix: one row of numbers per row of the dataset, NaN where one is missing.
        :param values: per row what is to be predicted.
        """
        rounds = self._find_rounds(matrix, values)
        return _fit(self._new_estimator(len(values), max_iter=rounds), matrix, values)

    def weigh_columns(self, estimator: Any, matrix: FloatArray, values: FloatArray) -> FloatArray:
        """Return each column's share of what the model gets right: not negative, and 1 in all.

        A column counts by how much worse the predictions become when its values are shuffled among the rows. If no
        column makes a difference, all have the same share.

        :param estimator: what :meth:`fit` returned.
        :param matrix: rows that it did not learn from.
        :param values: per row what it should predict.
        """
        losses = [np.maximum(loss, 0) for loss in self._shuffle(estimator, matrix, values)]
        mean = np.asarray(np.mean(losses, axis=0), dtype=np.float64)
        return mean / mean.sum() if mean.sum() > 0 else np.full(len(mean), 1 / len(mean))

    def _shuffle(self, estimator: Any, matrix: FloatArray, values: FloatArray) -> Iterator[FloatArray]:
        for repeat in range(SHUFFLES_PER_COLUMN):
            if self.allowance.is_used(SHUFFLING_ENDS_AT) and repeat > 0:
                return
            yield permutation_importance(
                estimator,
                matrix,
                values,
                scoring=lambda *sample: -self._loss(*sample),
                n_repeats=1,
                random_state=SEED + repeat,
                max_samples=min(MOST_ROWS_TO_SHUFFLE, len(values)),
            ).importances_mean

    def _find_rounds(self, matrix: FloatArray, values: FloatArray) -> int:
        """Return after how many rounds the model stops to get better on rows that it does not learn from."""
        groups = values if self.target.kind is FieldKind.CATEGORY else np.zeros_like(values)
        learned, watched = hold_out(groups, WATCHED_SHARE, SEED)
        # A round is one tree per class, so many classes take smaller steps: the clock is read in between.
        step = min(MOST_ROUNDS_PER_STEP, TREES_PER_STEP // max(1, len(self.target.classes)) or 1)
        best_rounds, best_loss = step, np.inf
        estimator = self._new_estimator(len(learned), warm_start=True)
        for rounds in range(step, MOST_ROUNDS_PER_SECOND * self.duration + 1, step):
            _fit(estimator.set_params(max_iter=rounds), matrix[learned], values[learned])
            loss = self._loss(estimator, matrix[watched], values[watched])
            if loss < best_loss:
                best_rounds, best_loss = rounds, loss
            if rounds - best_rounds >= STEPS_OF_PATIENCE * step or self.allowance.is_used(SEARCH_ENDS_AT):
                break
        return best_rounds

    def _new_estimator(self, row_count: int, **options: Any) -> Any:
        options |= {
            "learning_rate": 0.1 * (Duration.FASTEST / self.duration) ** 0.3,
            "min_samples_leaf": int(np.clip(SHARE_IN_A_LEAF * row_count, 1, MOST_ROWS_IN_A_LEAF)),
            "categorical_features": list(self.is_category),
            "early_stopping": False,
            "random_state": SEED,
        }
        if self.target.kind is FieldKind.NUMBER:
            return HistGradientBoostingRegressor(**options)
        return HistGradientBoostingClassifier(class_weight="balanced" if self.extra_attention else None, **options)

    def _loss(self, estimator: Any, matrix: FloatArray, values: FloatArray) -> float:
        if self.target.kind is FieldKind.NUMBER:
            return float(mean_squared_error(values, estimator.predict(matrix)))
        weights = compute_sample_weight("balanced", values) if self.extra_attention else None
        probabilities = estimator.predict_proba(matrix)
        return float(log_loss(values, probabilities, labels=estimator.classes_, sample_weight=weights))


def _fit(estimator: Any, matrix: FloatArray, values: FloatArray) -> Any:
    # scikit-learn cannot sort a column into bins that has no value at all; one that never changes tells it as little.
    is_empty = np.isnan(matrix).all(axis=0)
    return estimator.fit(np.where(is_empty, 0.0, matrix), values)
