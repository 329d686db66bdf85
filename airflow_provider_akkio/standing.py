"""How a training stands, as its task tells it in XCom: for Airflow's page, and for the tasks after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from airflow_provider_akkio.api.training import SubmittedTraining, TrainingState

_NEWS = 0.1
"""Share by which an estimate has to change to be told again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The last status of a training.

    :param status: as Akkio wrote it.
    :param since: when the wait saw it for the first time, in seconds since the epoch.
    :param estimate_seconds: Akkio's last rough estimate of the whole training's seconds, if it gave one.
    :param submitted_at: when Akkio accepted the training, in seconds since the epoch; ``None`` if somebody else
        submitted it.
    :param parameters: what was asked for, where no worker has run, since Airflow's own record of it is made there.
    """

    status: str
    since: float
    estimate_seconds: float | None = None
    submitted_at: float | None = None
    parameters: Mapping[str, Any] | None = None

    @classmethod
    def from_entry(cls, entry: Any) -> Self | None:
        """Read what :meth:`to_entry` returned; ``None`` if there is nothing, or nothing of ours."""
        match entry:
            case {"status": str(), "since": float() | int()}:
                known = {field.name: entry.get(field.name) for field in fields(cls)}
                numbers = (known["estimate_seconds"], known["submitted_at"])
                if all(number is None or isinstance(number, float | int) for number in numbers):
                    is_told = isinstance(known["parameters"], Mapping)
                    return cls(**known | {"parameters": known["parameters"] if is_told else None})
        return None

    def to_entry(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class StandingWatch:
    """Hears each answer to a question for the status, and passes on what is new.

    :param training: which training.
    :param tell: takes the entry for :data:`~airflow_provider_akkio.api.vocabulary.STATUS_KEY`.
    :param parameters: see :class:`Standing`.
    :param clock: gives the present, in seconds since the epoch.
    """

    def __init__(
        self,
        training: SubmittedTraining,
        tell: Callable[[dict[str, Any]], None],
        parameters: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        is_ours = training.duration is not None
        self._submitted_at = training.submitted_at if is_ours else None
        self._tell = tell
        self._parameters = parameters
        self._clock = clock
        self._told: Standing | None = None

    def __call__(self, state: TrainingState) -> None:
        """Take an answer."""
        before = self._told
        estimate = None if before is None else before.estimate_seconds
        if _is_news(estimate, state.estimate_seconds):
            estimate = state.estimate_seconds
        if before is None or before.status != state.status:
            self._told = Standing(
                status=state.status,
                since=self._clock(),
                estimate_seconds=estimate,
                submitted_at=self._submitted_at,
                parameters=self._parameters,
            )
        elif estimate != before.estimate_seconds:
            self._told = replace(before, estimate_seconds=estimate)
        if self._told is not None and self._told is not before:
            self._tell(self._told.to_entry())


def _is_news(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return now is not None
    return abs(now - before) > _NEWS * before
