"""Conversion of cells to the numbers that a random forest reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from airflow_provider_akkio.sandbox.datasets import FieldType, FloatArray, are_numbers, parse_date, parse_numbers

Encoder = Callable[[Sequence[str]], FloatArray]
"""Converts the cells of a field; NaN means missing, invalid, or a category that the training did not see."""


def field_encoder(cells: Sequence[str], field_type: FieldType) -> Encoder:
    """Return the encoder of a field.

    :param cells: cells of the field in the training.
    :param field_type: type of the field.
    """
    if field_type.is_numeric:
        return _scaled(parse_numbers, cells)
    if field_type is FieldType.DATE:
        return _scaled(_parse_dates, cells)
    positions = {text: float(position) for position, text in enumerate(sort_values(cells))}
    return lambda given: np.array([positions.get(cell, math.nan) for cell in given])


def sort_values(cells: Iterable[str]) -> list[str]:
    """Return the distinct values in their order, which is the numeric one if all values are numbers."""
    values = sorted(set(cells) - {""})
    return sorted(values, key=float) if are_numbers(values) else values


def _scaled(parse: Encoder, cells: Sequence[str]) -> Encoder:
    """Return an encoder that scales to 0 to 1: scikit-learn rounds to 32 bits, which would merge long numbers."""
    numbers = parse(cells)
    known = numbers[~np.isnan(numbers)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    span = (high - low) or 1.0

    def encode(given: Sequence[str]) -> FloatArray:
        with np.errstate(over="ignore"):
            # No threshold of a tree is beyond the values in the training.
            return np.clip((parse(given) - low) / span, -1.0, 2.0)

    return encode


def _parse_dates(cells: Sequence[str]) -> FloatArray:
    return np.array([parse_date(cell) for cell in cells], dtype=np.float64)
