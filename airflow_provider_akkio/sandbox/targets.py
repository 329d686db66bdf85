"""What is to be predicted, and which rows are held out to see how well it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_provider_akkio.sandbox.columns import (
    FieldKind,
    FloatArray,
    IntArray,
    is_continuous,
    label_cells,
    parse_numbers,
    sort_labels,
)
from airflow_provider_akkio.sandbox.datasets import Dataset

FEWEST_ROWS = 10
MOST_CLASSES = 50
MOST_CLASSES_PER_ROW = 0.3


class UntrainableError(ValueError):
    """No model can come out of a training; the message tells a person why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One field to predict.

    :param field: its position among the dataset's fields, from 0.
    :param name: its name.
    :param kind: whether a class or a number is predicted.
    :param classes: the classes' names; none for a number.
    :param rows: positions of the dataset's rows in which it is known.
    :param values: per known row its class, as a position in ``classes``, or its number.
    """

    field: int
    name: str
    kind: FieldKind
    classes: tuple[str, ...]
    rows: IntArray
    values: FloatArray

    @property
    def groups(self) -> FloatArray:
        """Per known row the group that must be found on both sides of a split: its class, or one group for all."""
        return self.values if self.kind is FieldKind.CATEGORY else np.zeros_like(self.values)


def find_target(dataset: Dataset, name: str) -> Target:
    """Return a field of a dataset as what is to be predicted.

    :raises UntrainableError: if too little is known of the field, or if it has one class or too many.
    """
    cells = dataset.cells(name)
    classes: tuple[str, ...] = ()
    numbers = parse_numbers(cells)
    if numbers is not None and is_continuous(numbers):
        kind = FieldKind.NUMBER
    else:
        labels = label_cells(cells)
        kind, classes = FieldKind.CATEGORY, sort_labels(labels)
        positions = {label: float(position) for position, label in enumerate(classes)}
        numbers = np.array([positions.get(label, np.nan) for label in labels], dtype=np.float64)
    rows = np.flatnonzero(~np.isnan(numbers))
    target = Target(
        field=dataset.fields.index(name), name=name, kind=kind, classes=classes, rows=rows, values=numbers[rows]
    )
    _check(target)
    return target


def _check(target: Target) -> None:
    shown = f"Field {target.name!r}"
    if len(target.rows) < FEWEST_ROWS:
        raise UntrainableError(f"{shown} has a value in {len(target.rows)} rows; it takes at least {FEWEST_ROWS}.")
    if target.kind is FieldKind.NUMBER:
        return
    if len(target.classes) == 1:
        raise UntrainableError(
            f"{shown} has the value {target.classes[0]!r} in every row: there is nothing to predict."
        )
    if len(target.classes) > MOST_CLASSES:
        raise UntrainableError(
            f"{shown} has {len(target.classes)} different texts; at most {MOST_CLASSES} can be told apart."
        )
    if len(target.classes) > MOST_CLASSES_PER_ROW * len(target.rows):
        raise UntrainableError(
            f"{shown} has {len(target.classes)} values in {len(target.rows)} rows: too few of each to learn from."
        )


def hold_out(groups: FloatArray, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Split positions into those to learn from and those held out, each in order.

    Of every group with at least two members, at least one is on either side; a single one is learned from.

    :param groups: per position the group that it belongs to.
    :param share: about how much of each group is held out, between 0 and 1.
    :param seed: where the random choice begins.
    """
    random = np.random.default_rng(seed)
    held_out = np.zeros(len(groups), dtype=bool)
    for group in np.unique(groups):
        members = random.permutation(np.flatnonzero(groups == group))
        count = min(len(members) - 1, max(1, round(len(members) * share)))
        held_out[members[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
