"""The data story: which values of the other fields go with an outcome, counted in the data and not in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np

from airflow_provider_akkio.sandbox.columns import (
    BoolArray,
    FieldKind,
    IntArray,
    is_continuous,
    label_cells,
    parse_numbers,
    show,
)
from airflow_provider_akkio.sandbox.targets import Target

MOST_CAUSES = 5
# A value that a handful of rows have says little, however often the outcome comes with it.
SMALLEST_GROUP_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class _Grouping:
    """The rows by the value of one field, without those where it is missing or rare."""

    field: str
    names: tuple[str, ...]
    members: tuple[IntArray, ...]


def tell_story(target: Target, columns: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return how often each outcome of a field occurs, and with which values of other fields most and least often.

    The outcomes of a number are ``high`` (above its median) and ``low``.

    :param target: the field whose outcomes are told.
    :param columns: the fields that may be causes, the most important first, each with one cell per known row of the
        target. The first few that tell rows apart are taken.
    """
    if target.kind is FieldKind.NUMBER:
        high = target.values > np.median(target.values)
        happened = {"high": high, "low": ~high}
    else:
        happened = {name: target.values == position for position, name in enumerate(target.classes)}
    groupings = (_group(name, cells) for name, cells in columns.items())
    causes = list(islice((grouping for grouping in groupings if len(grouping.names) > 1), MOST_CAUSES))
    outcomes = [_tell_outcome(name, happens, causes) for name, happens in happened.items()]
    return {"name": target.name, "type": target.kind.value, "outcomes": outcomes}


def _tell_outcome(outcome: str, happens: BoolArray, groupings: Sequence[_Grouping]) -> dict[str, Any]:
    causes: list[dict[str, str]] = []
    average = float(happens.mean())
    top_case = bottom_case = average
    for grouping in groupings:
        shares = [float(happens[members].mean()) for members in grouping.members]
        top, bottom = int(np.argmax(shares)), int(np.argmin(shares))
        causes.append(
            {"field": grouping.field, "top_value": grouping.names[top], "bottom_value": grouping.names[bottom]}
        )
        top_case, bottom_case = max(top_case, shares[top]), min(bottom_case, shares[bottom])
    return {
        "outcome": outcome,
        "causes": causes,
        "top_case": top_case,
        "avg_case": average,
        "bottom_case": bottom_case,
    }


def _group(field: str, cells: Sequence[str]) -> _Grouping:
    labels = np.array(_label(cells))
    names, positions = np.unique(labels, return_inverse=True)
    kept = {
        str(name): np.flatnonzero(positions == position)
        for position, (name, size) in enumerate(zip(names, np.bincount(positions), strict=True))
        if name and size >= SMALLEST_GROUP_SHARE * len(labels)
    }
    return _Grouping(field, tuple(kept), tuple(kept.values()))


def _label(cells: Sequence[str]) -> list[str]:
    """Return each cell's label: its value, or of a number with many values the quarter of the rows it is in."""
    numbers = parse_numbers(cells)
    if numbers is None or not is_continuous(numbers):
        return label_cells(cells)
    edges = np.unique(np.nanquantile(numbers, (0, 0.25, 0.5, 0.75, 1)))
    names = [f"{_rounded(low)} to {_rounded(high)}" for low, high in pairwise(edges)]
    bins = np.searchsorted(edges[1:-1], numbers, side="right")
    return ["" if np.isnan(number) else names[position] for number, position in zip(numbers, bins, strict=True)]


def _rounded(number: float) -> str:
    return show(float(f"{number:.4g}"))
