"""Text cells as what a model can learn from: numbers, categories, and outcomes to predict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MOST_DISTINCT_IN_A_CATEGORY_OF_NUMBERS = 10
# scikit-learn sorts a column into at most 255 bins, and categories beyond that have no place.
MOST_CATEGORIES_OF_A_CAUSE = 250


class FieldKind(StrEnum):
    """What is predicted of a field: one out of some classes, or how much."""

    CATEGORY = "category"
    NUMBER = "number"


def parse_numbers(cells: Sequence[str]) -> FloatArray | None:
    """Return the cells as numbers, NaN where one is empty or infinite; ``None`` if any is another text."""
    try:
        numbers = np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64)
    except ValueError:
        return None
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def is_continuous(numbers: FloatArray) -> bool:
    """Return whether there are too many different numbers to take each for a category."""
    return len(np.unique(numbers[~np.isnan(numbers)])) > MOST_DISTINCT_IN_A_CATEGORY_OF_NUMBERS


def label_cells(cells: Sequence[str]) -> list[str]:
    """Return each cell's category: its text, the same for the same number (``1`` and ``1.0``), empty if missing."""
    numbers = parse_numbers(cells)
    return list(cells) if numbers is None else ["" if np.isnan(number) else show(number) for number in numbers]


def sort_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the different labels in the order of their numbers, or of their letters; missing ones are left out."""
    distinct = sorted(set(labels) - {""})
    numbers = parse_numbers(distinct)
    return (
        tuple(distinct) if numbers is None else tuple(distinct[index] for index in np.argsort(numbers, kind="stable"))
    )


def show(number: float) -> str:
    """Return a number as a person writes it: ``3`` rather than ``3.0``."""
    return str(int(number)) if float(number).is_integer() else str(float(number))


@dataclass(frozen=True, slots=True)
class ColumnCode:
    """How the cells of one field become numbers for a model.

    :param name: the field.
    :param categories: the texts that have a number of their own, the most frequent first; ``None`` if the field holds
        numbers already.
    """

    name: str
    categories: tuple[str, ...] | None

    @classmethod
    def learn(cls, name: str, cells: Sequence[str]) -> Self:
        """Return the code that fits a column."""
        if parse_numbers(cells) is not None:
            return cls(name, None)
        counts = sorted(Counter(filter(None, cells)).items(), key=lambda item: (-item[1], item[0]))
        return cls(name, tuple(text for text, _ in counts[:MOST_CATEGORIES_OF_A_CAUSE]))

    def encode(self, cells: Sequence[str]) -> FloatArray:
        """Return one number per cell, NaN for what is missing or was never seen."""
        if self.categories is None:
            numbers = parse_numbers(cells)
            return np.full(len(cells), np.nan) if numbers is None else numbers
        codes = {text: float(code) for code, text in enumerate(self.categories)}
        return np.array([codes.get(cell, np.nan) for cell in cells], dtype=np.float64)
