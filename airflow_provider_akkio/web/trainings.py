"""The list of all trainings that a person may see."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_akkio.api.statistics import ModelMetric
from airflow_provider_akkio.api.summary import listed_main_metric
from airflow_provider_akkio.web.addresses import task_path
from airflow_provider_akkio.web.records import MOST_RUNS, TrainingRow, stats_over_time, trainings
from airflow_provider_akkio.web.training import Phase, moment
from airflow_provider_akkio.web.trend import Trend

PAGE = 25
"""Trainings of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTraining:
    """A training as the list shows it."""

    path: str
    dag_id: str
    task_name: str
    run_id: str
    phase: Phase
    model_id: str | None
    measure: ModelMetric | None
    trend: Trend | None
    when: str


def listed(session: Session, dag_ids: set[str], page: int) -> tuple[list[ListedTraining], bool]:
    """Return a page of trainings, and whether there are more, with two queries.

    :param session: the database session.
    :param dag_ids: the DAGs whose XComs the person may read.
    :param page: which page; the first is 1.
    """
    rows = trainings(session, dag_ids, PAGE * (page - 1), PAGE + 1)
    shown = rows[:PAGE]
    over_time = {
        task: [(run, listed_main_metric(stats)) for run, stats in found]
        for task, found in stats_over_time(session, [row for row in shown if row.model_id]).items()
    }
    made = [_listed(row, over_time.get((row.dag_id, row.task_id, row.map_index), [])) for row in shown]
    return made, len(rows) > PAGE


def _listed(row: TrainingRow, over_time: list[tuple[int, ModelMetric | None]]) -> ListedTraining:
    until = bisect_right(over_time, row.dag_run_id, key=_run)
    has_stats = until > 0 and over_time[until - 1][0] == row.dag_run_id
    measures = [measure for _, measure in over_time[max(0, until - MOST_RUNS) : until]] if has_stats else []
    return ListedTraining(
        path=f"{task_path(row.dag_id, row.run_id, row.task_id)}?map_index={row.map_index}",
        dag_id=row.dag_id,
        task_name=row.task_name,
        run_id=row.run_id,
        phase=Phase.of(row, row.model_id),
        model_id=row.model_id,
        measure=measures[-1] if measures else None,
        trend=Trend.of(measures),
        when=moment(row.started_at),
    )


def _run(entry: tuple[int, Any]) -> int:
    return entry[0]
