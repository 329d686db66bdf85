"""A model's main_metric number beside those of the models before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from airflow_provider_akkio.api.statistics import ModelMetric

_WIDTH = 160.0
_HEIGHT = 32.0
_EDGE = 3.0


@dataclass(frozen=True, slots=True)
class Trend:
    """The numbers of consecutive models, as far as they are of the same metric and field.

    :param metric: its name.
    :param values: the numbers, the newest last.
    """

    metric: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, measures: Sequence[ModelMetric | None]) -> Self | None:
        """Return the trend that leads to the last of some models; ``None`` if that has no number.

        :param measures: what :func:`~airflow_provider_akkio.api.statistics.main_metric` says of each, the newest last.
        """
        newest = measures[-1] if measures else None
        if newest is None:
            return None
        kind = (newest.metric, newest.field_name)
        return cls(newest.metric, tuple(one.value for one in measures if one and (one.metric, one.field_name) == kind))

    @property
    def previous(self) -> float | None:
        """The number before the last."""
        return self.values[-2] if len(self.values) > 1 else None

    @property
    def change(self) -> float | None:
        """By how much the last number is larger than the one before."""
        return None if self.previous is None else self.values[-1] - self.previous

    @property
    def text(self) -> str:
        """What the line shows, for whoever does not see it."""
        return f"{self.metric}, oldest first: {', '.join(f'{value:.3g}' for value in self.values)}"

    @property
    def points(self) -> list[tuple[float, float]]:
        """The numbers as points of a line, 160 wide and 32 high; none for a single number."""
        if len(self.values) < 2:
            return []
        low, high = min(self.values), max(self.values)
        step = (_WIDTH - 2 * _EDGE) / (len(self.values) - 1)
        scale = (_HEIGHT - 2 * _EDGE) / (high - low) if high > low else 0.0
        middle = _HEIGHT / 2
        return [
            (
                round(_EDGE + index * step, 1),
                round(_HEIGHT - _EDGE - (value - low) * scale, 1) if scale else middle,
            )
            for index, value in enumerate(self.values)
        ]
