"""What Airflow's database holds of trainings: a few columns, read with as few queries as it takes, and nothing written.

A value that is longer than a limit is left out, so that no result, however large, holds up the API server.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from airflow_provider_akkio.api.types import ERROR_KEY, STATUS_KEY

KEYS = ("akkio_task_id", STATUS_KEY, ERROR_KEY, "model_id", "stats", "field_importance", "data_story")
"""The XComs that a page reads."""

SENSOR = "AkkioTrainSensor"
_NOT_BEGUN = frozenset({None, "none", "scheduled", "queued"})
OPERATORS = ("AkkioTrainOperator", SENSOR)
LONGEST_VALUE = 500_000
"""Characters of JSON beyond which a value is not read."""

LONGEST_PAST_STATS = 100_000
"""Characters of JSON beyond which the statistics of an earlier run are not read."""

LONGEST_LIST = 3_000_000
"""Characters of JSON that the statistics of a list may have in all; those of the oldest runs are left out."""

MOST_RUNS = 20
"""Runs that a trend goes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """What is known of every task instance.

    :param dag_run_id: number of its run; a later run has a larger one.
    :param is_resumed: whether it is to go on after a trigger, if it is scheduled.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    dag_run_id: int
    state: str | None
    started_at: datetime | None
    is_resumed: bool

    @property
    def has_begun(self) -> bool:
        """Whether this try has; what a task that waits to be run has left is an earlier one's."""
        return self.is_resumed or self.state not in _NOT_BEGUN

    @property
    def task_name(self) -> str:
        """What to call it."""
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord(TaskRow):
    """A task instance that is looked at.

    :param rendered: its template fields as Airflow kept them.
    :param xcoms: those of :data:`KEYS` that it has.
    :param past_stats: the ``stats`` of the runs before it, the newest last.
    """

    operator: str | None
    try_number: int
    ended_at: datetime | None
    rendered: Mapping[str, Any]
    xcoms: Mapping[str, Any]
    past_stats: Sequence[Any]

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


class _Part(StrEnum):
    """What a row of the answer about a task instance is."""

    TASK = "task"
    XCOM = "xcom"
    PAST = "past"


def task_record(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskRecord | None:
    """Return a task instance, with one query; ``None`` if there is none."""
    key = (dag_id, run_id, task_id, map_index)
    rows = session.execute(union_all(_task(*key), _own_xcoms(*key), _past_stats(*key))).all()
    found: dict[str, list[Any]] = {part: [row for row in rows if row.part == part] for part in _Part}
    if not found[_Part.TASK]:
        return None
    [task] = found[_Part.TASK]
    known = _json(task.value)
    past = sorted(found[_Part.PAST], key=lambda row: row.dag_run_id)
    return TaskRecord(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        dag_run_id=task.dag_run_id,
        state=task.state,
        is_resumed=task.next_method is not None,
        operator=task.operator,
        try_number=task.try_number,
        started_at=task.start_date,
        ended_at=task.end_date,
        rendered=known if isinstance(known, Mapping) else {},
        xcoms={row.key: _json(row.value) for row in found[_Part.XCOM]},
        past_stats=[_json(row.value) for row in past],
    )


def _task(dag_id: str, run_id: str, task_id: str, map_index: int) -> Select[*tuple[Any, ...]]:
    ti, fields = TaskInstance, RenderedTaskInstanceFields
    return (
        select(
            literal(_Part.TASK.value).label("part"),
            DagRun.id.label("dag_run_id"),
            ti.state,
            ti.next_method,
            ti.operator,
            ti.try_number,
            ti.start_date,
            ti.end_date,
            cast(null(), Text).label("key"),
            _text(fields.rendered_fields, LONGEST_VALUE).label("value"),
        )
        .join(DagRun, and_(DagRun.dag_id == ti.dag_id, DagRun.run_id == ti.run_id))
        .outerjoin(fields, _same_task(fields, ti))
        .where(ti.dag_id == dag_id, ti.run_id == run_id, ti.task_id == task_id, ti.map_index == map_index)
    )


def _own_xcoms(dag_id: str, run_id: str, task_id: str, map_index: int) -> Select[Any]:
    value = _text(XComModel.value, LONGEST_VALUE)
    of_task = (XComModel.dag_id == dag_id, XComModel.task_id == task_id, XComModel.map_index == map_index)
    return _xcom_rows(_Part.XCOM, value).where(*of_task, XComModel.run_id == run_id, XComModel.key.in_(KEYS))


def _past_stats(dag_id: str, run_id: str, task_id: str, map_index: int) -> Select[Any]:
    of_task = (XComModel.dag_id == dag_id, XComModel.task_id == task_id, XComModel.map_index == map_index)
    run = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id).scalar_subquery()
    newest = (
        _xcom_rows(_Part.PAST, _text(XComModel.value, LONGEST_PAST_STATS))
        .where(*of_task, XComModel.key == "stats", XComModel.dag_run_id < run)
        .order_by(XComModel.dag_run_id.desc())
        .limit(MOST_RUNS - 1)
        .subquery()
    )
    return select(newest)


def _xcom_rows(part: _Part, value: ColumnElement[str | None]) -> Select[Any]:
    """Return a selection of XComs with the columns of :func:`_task`."""
    ti = TaskInstance
    absent = (ti.state, ti.next_method, ti.operator, ti.try_number, ti.start_date, ti.end_date)
    return select(
        literal(part.value).label("part"),
        XComModel.dag_run_id,
        *(cast(null(), column.type).label(column.key) for column in absent),
        XComModel.key,
        value.label("value"),
    )


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
            ti.next_method,
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
            is_resumed=row[7] is not None,
            model_id=model_id if isinstance(model_id := _json(row[8]), str) else None,
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
    newest_first = func.row_number().over(partition_by=task, order_by=XComModel.dag_run_id.desc())
    numbered = (
        select(
            *task,
            XComModel.dag_run_id,
            _text(XComModel.value, LONGEST_PAST_STATS).label("stats"),
            newest_first.label("place"),
        )
        .where(
            XComModel.key == "stats",
            tuple_(*task).in_({(row.dag_id, row.task_id, row.map_index) for row in rows}),
            XComModel.dag_run_id <= max(row.dag_run_id for row in rows),
        )
        .subquery()
    )
    most = Counter((row.dag_id, row.task_id, row.map_index) for row in rows).most_common(1)[0][1]
    length = func.sum(func.length(numbered.c.stats)).over(order_by=(numbered.c.place, numbered.c.dag_run_id.desc()))
    summed = select(numbered, length.label("length")).where(numbered.c.place < most + MOST_RUNS).subquery()
    statement = select(summed).where(summed.c.length <= LONGEST_LIST).order_by(summed.c.dag_run_id)
    found: dict[tuple[str, str, int], list[tuple[int, Any]]] = {}
    for dag_id, task_id, map_index, dag_run_id, stats, *_ in session.execute(statement):
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


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
