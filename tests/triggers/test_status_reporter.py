"""How a training stands, as it is told."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_akkio.api.types import SubmittedTraining, TrainingState
from airflow_provider_akkio.triggers.status import StatusReporter, TrainingStatusUpdate

OURS = SubmittedTraining("T1", submitted_at=1000.0, duration=60)
FOREIGN = SubmittedTraining("T1", submitted_at=1000.0)


def told(
    *states: TrainingState, training: SubmittedTraining = OURS, **others: Any
) -> list[TrainingStatusUpdate | None]:
    """Return what is told of some answers, the first a second after the submission."""
    entries: list[dict[str, Any]] = []
    watch = StatusReporter(training, entries.append, clock=iter(range(1001, 2000)).__next__, **others)
    for state in states:
        watch(state)
    return [TrainingStatusUpdate.from_json(entry) for entry in entries]


def test_each_new_status_is_told_once_with_the_time_of_its_first_answer() -> None:
    states = [TrainingState(name) for name in ("SUBMITTED", "SUBMITTED", "IN_PROGRESS", "IN_PROGRESS", "odd")]
    assert told(*states) == [
        TrainingStatusUpdate(status="SUBMITTED", since=1001, submitted_at=1000.0),
        TrainingStatusUpdate(status="IN_PROGRESS", since=1002, submitted_at=1000.0),
        TrainingStatusUpdate(status="odd", since=1003, submitted_at=1000.0),
    ]


def test_an_estimate_is_told_if_it_is_new_or_changes_by_more_than_a_tenth() -> None:
    estimates = [None, 60.0, 65.0, 54.5, None, 67.0, 0.0, 0.0]
    seen = told(*(TrainingState("IN_PROGRESS", estimate) for estimate in estimates))
    assert [one and (one.since, one.estimate_seconds) for one in seen] == [
        (1001, None),
        (1001, 60.0),
        (1001, 67.0),
        (1001, 0.0),
    ]


def test_a_status_without_an_estimate_keeps_the_one_before() -> None:
    seen = told(TrainingState("IN_PROGRESS", 60.0), TrainingState("SUCCEEDED"))
    assert [one and (one.status, one.estimate_seconds) for one in seen] == [("IN_PROGRESS", 60.0), ("SUCCEEDED", 60.0)]


def test_when_somebody_else_submitted_it_is_not_known() -> None:
    assert told(TrainingState("PENDING"), training=FOREIGN) == [TrainingStatusUpdate(status="PENDING", since=1001)]


def test_parameters_go_along_where_they_are_given() -> None:
    [one] = told(TrainingState("PENDING"), parameters={"dataset_id": "D1"})
    assert one is not None
    assert one.parameters == {"dataset_id": "D1"}


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "IN_PROGRESS",
        {},
        {"status": "PENDING"},
        {"status": 1, "since": 1.0},
        {"status": "x", "since": "now"},
        {"status": "x", "since": 1.0, "estimate_seconds": "long"},
        {"status": "x", "since": 1.0, "submitted_at": []},
    ],
)
def test_what_is_not_ours_says_nothing(entry: Any) -> None:
    assert TrainingStatusUpdate.from_json(entry) is None


def test_what_a_newer_version_adds_is_passed_over() -> None:
    entry = {"status": "x", "since": 1.0, "parameters": "odd", "more": [1]}
    assert TrainingStatusUpdate.from_json(entry) == TrainingStatusUpdate(status="x", since=1.0)
