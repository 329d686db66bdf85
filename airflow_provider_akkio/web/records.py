"""What Airflow's database holds of trainings: a few columns, read with as few queries as it takes, and nothing written.

A value that is longer than a limit is left out, so that no result, however large, holds up the API server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import ColumnElement, Text, and_, case, cast, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from airflow_provider_akkio.standing import ERROR_KEY, STATUS_KEY

KEYS = ("akkio_task_id", STATUS_KEY, ERROR_KEY, "model_id", "stats", "field_importance", "data_story")
"""The XComs that a page reads."""

SENSOR = "AkkioTrainSensor"
OPERATORS = ("AkkioTrainOperator", SENSOR)
LONGEST_VALUE = 2_000_000
"""Characters of JSON beyond which a value is not read."""

LONGEST_PAST_STATS = 100_000
"""Characters of JSON beyond which the statistics of an earlier run are not read."""

MOST_RUNS = 20
"""Runs that a trend goes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """What is known of every task instance.

    :param dag_run_id: number of its run; a later run has a larger one.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    dag_run_id: int
    state: str | None
    started_at: datetime | None

    @property
    def task_name(self) -> str:
        """What to call it."""
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord(TaskRow):
    """A task instance that is looked at.

    :param rendered: its template fields as Airflow kept them.
    :param xcoms: those of :data:`KEYS` that it has.
    """

    operator: str | None
    try_number: int
    ended_at: datetime | None
    rendered: Mapping[str, Any]
    xcoms: Mapping[str, Any]

    @property
    def is_training(self) -> bool:
        """Whether the task trains or waits for a training; a subclass of the operator is known by what it leaves."""
        return self.operator in OPERATORS or not {"akkio_task_id", STATUS_KEY, ERROR_KEY}.isdisjoint(self.xcoms)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow(TaskRow):
    """A training in the list of all of them.

    :param model_id: its model, if it has one.
    """

    model_id: str | None


def task_record(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskRecord | None:
    """Return a task instance, with one query; ``None`` if there is none."""
    ti, fields = TaskInstance, RenderedTaskInstanceFields
    statement = (
        select(
            DagRun.id,
            ti.state,
            ti.operator,
            ti.try_number,
            ti.start_date,
            ti.end_date,
            _text(fields.rendered_fields, LONGEST_VALUE),
            XComModel.key,
            _text(XComModel.value, LONGEST_VALUE),
        )
        .join(DagRun, and_(DagRun.dag_id == ti.dag_id, DagRun.run_id == ti.run_id))
        .outerjoin(fields, _same_task(fields, ti))
        .outerjoin(XComModel, and_(_same_task(XComModel, ti), XComModel.key.in_(KEYS)))
        .where(ti.dag_id == dag_id, ti.run_id == run_id, ti.task_id == task_id, ti.map_index == map_index)
    )
    rows = session.execute(statement).all()
    if not rows:
        return None
    dag_run_id, state, operator, try_number, started_at, ended_at, rendered, _, _ = rows[0]
    known = _json(rendered)
    return TaskRecord(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        dag_run_id=dag_run_id,
        state=state,
        operator=operator,
        try_number=try_number,
        started_at=started_at,
        ended_at=ended_at,
        rendered=known if isinstance(known, Mapping) else {},
        xcoms=_xcoms((key, value) for *_, key, value in rows),
    )


def past_stats(session: Session, record: TaskRecord) -> list[Any]:
    """Return the ``stats`` of the runs of a task up to this one, the newest last, with one query."""
    statement = (
        select(_text(XComModel.value, LONGEST_PAST_STATS))
        .where(
            XComModel.dag_id == record.dag_id,
            XComModel.task_id == record.task_id,
            XComModel.map_index == record.map_index,
            XComModel.key == "stats",
            XComModel.dag_run_id < record.dag_run_id,
        )
        .order_by(XComModel.dag_run_id.desc())
        .limit(MOST_RUNS - 1)
    )
    return [_json(text) for text in reversed(session.scalars(statement).all())]


def training_dags(session: Session) -> set[str]:
    """Return the ids of the DAGs that have trained."""
    statement = select(XComModel.dag_id).join(TaskInstance, _same_task(XComModel, TaskInstance)).where(_is_training())
    return set(session.scalars(statement.distinct()))


def trainings(session: Session, dag_ids: set[str], skipped: int, most: int) -> list[TrainingRow]:
    """Return the trainings of some DAGs, those of the newest runs first.

    :param session: the database session.
    :param dag_ids: of which DAGs.
    :param skipped: how many of the newest to leave out.
    :param most: how many to return.
    """
    ti, model = TaskInstance, aliased(XComModel)
    statement = (
        select(
            XComModel.dag_id,
            XComModel.run_id,
            XComModel.task_id,
            XComModel.map_index,
            XComModel.dag_run_id,
            ti.state,
            ti.start_date,
            _text(model.value, LONGEST_PAST_STATS),
        )
        .join(ti, _same_task(XComModel, ti))
        .outerjoin(model, and_(_same_task(model, ti), model.key == "model_id"))
        .where(_is_training(), XComModel.dag_id.in_(dag_ids))
        .order_by(XComModel.dag_run_id.desc(), XComModel.task_id, XComModel.map_index)
        .offset(skipped)
        .limit(most)
    )
    return [
        TrainingRow(
            dag_id=row[0],
            run_id=row[1],
            task_id=row[2],
            map_index=row[3],
            dag_run_id=row[4],
            state=row[5],
            started_at=row[6],
            model_id=model_id if isinstance(model_id := _json(row[7]), str) else None,
        )
        for row in session.execute(statement)
    ]


def stats_over_time(session: Session, rows: Sequence[TrainingRow]) -> dict[tuple[str, str, int], list[tuple[int, Any]]]:
    """Return, for each task of some trainings, the number and the ``stats`` of its runs, the newest last.

    :param session: the database session.
    :param rows: the trainings; each task's runs go back twenty from the oldest of them, or less far.
    """
    if not rows:
        return {}
    task = (XComModel.dag_id, XComModel.task_id, XComModel.map_index)
    newest_first = func.row_number().over(partition_by=task, order_by=XComModel.dag_run_id.desc()).label("place")
    numbered = (
        select(*task, XComModel.dag_run_id, _text(XComModel.value, LONGEST_PAST_STATS).label("stats"), newest_first)
        .where(
            XComModel.key == "stats",
            tuple_(*task).in_({(row.dag_id, row.task_id, row.map_index) for row in rows}),
            XComModel.dag_run_id <= max(row.dag_run_id for row in rows),
        )
        .subquery()
    )
    statement = select(numbered).where(numbered.c.place <= len(rows) + MOST_RUNS).order_by(numbered.c.dag_run_id)
    found: dict[tuple[str, str, int], list[tuple[int, Any]]] = {}
    for dag_id, task_id, map_index, dag_run_id, stats, _ in session.execute(statement):
        found.setdefault((dag_id, task_id, map_index), []).append((dag_run_id, _json(stats)))
    return found


def _is_training() -> ColumnElement[bool]:
    """Tell a training by the id that its submission leaves, or by the model that a sensor waited for."""
    waited_for = and_(XComModel.key == "model_id", TaskInstance.operator == SENSOR)
    return or_(XComModel.key == "akkio_task_id", waited_for)


def _same_task(one: Any, other: Any) -> ColumnElement[bool]:
    names = ("dag_id", "run_id", "task_id", "map_index")
    return and_(*(getattr(one, name) == getattr(other, name) for name in names))


def _text(column: Any, longest: int) -> ColumnElement[str | None]:
    text = cast(column, Text)
    return case((func.length(text) <= longest, text), else_=None)


def _xcoms(found: Iterable[tuple[str | None, str | None]]) -> dict[str, Any]:
    return {key: _json(value) for key, value in found if key is not None}


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
