"""Read trainings from Airflow's database.

Airflow's REST API returns XComs one by one and no history over several runs, so the pages query the ORM. Airflow does
not declare these models public; this module is the only one that imports them. Verified with Airflow 3.1.8 to 3.3.2.

Every query has a limit on rows and on the length of a value, so that no result can overload the API server.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import ColumnElement, Text, and_, case, cast, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from airflow_provider_akkio.api.types import ERROR_KEY, KIND_KEY, STATUS_KEY

MAX_RUNS = 20
"""Number of runs in a trend."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_ELSEWHERE = object()
_XCOM_KEYS = (KIND_KEY, "akkio_task_id", STATUS_KEY, ERROR_KEY, "model_id", "stats", "field_importance", "data_story")
_SENSOR = "AkkioTrainSensor"
_OPERATORS = ("AkkioTrainOperator", _SENSOR)
_NOT_STARTED = (None, "none", "scheduled", "queued", "upstream_failed")

# Maximum lengths of JSON text, in characters. A longer value is not read and counts as missing.
_MAX_VALUE = 500_000
_MAX_PAST_STATS = 100_000
_MAX_LIST_STATS = 3_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """A task instance in the list of trainings.

    :param dag_run_id: primary key of the DAG run; a later run has a larger one.
    :param is_resuming: whether a trigger has fired and the task waits for a worker to resume it.
    :param model_id: ID of the model, if the task pushed one and the database has it.
    :param is_model_elsewhere: whether an XCom backend stores the model ID in object storage, which this plugin must not
        read: it has neither the credentials nor the time.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    dag_run_id: int
    state: str | None
    started_at: datetime | None
    is_resuming: bool
    model_id: str | None
    is_model_elsewhere: bool = False

    @property
    def has_model(self) -> bool:
        """Whether the task pushed a model."""
        return self.model_id is not None or self.is_model_elsewhere

    @property
    def has_started(self) -> bool:
        """Whether the current try has started; if not, XComs are those of the previous try."""
        return self.is_resuming or self.state not in _NOT_STARTED

    @property
    def task_name(self) -> str:
        """The task ID, with the index of a mapped task."""
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetails(TrainingTask):
    """A task instance in its tab.

    :param rendered: its rendered template fields; Airflow keeps those of the newest runs only.
    :param xcoms: its XComs that the tab displays.
    :param past_stats: the ``stats`` of the task's previous runs, oldest first.
    :param is_chat: whether the task pushed that it is a chat.
    """

    operator: str | None
    try_number: int
    ended_at: datetime | None
    rendered: Mapping[str, Any]
    xcoms: Mapping[str, Any]
    past_stats: Sequence[Any]
    is_chat: bool = False

    @property
    def is_training(self) -> bool:
        """Whether the task trains or waits for a training; a subclass is recognized by its XComs."""
        has_xcoms = not {"akkio_task_id", STATUS_KEY, ERROR_KEY}.isdisjoint(self.xcoms)
        return self.operator in _OPERATORS or (has_xcoms and not self.is_chat)


def get_task(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskDetails | None:
    """Return a task instance with its XComs, in two queries; ``None`` if it does not exist."""
    ti, rendered = TaskInstance, RenderedTaskInstanceFields
    row = session.execute(
        select(
            *_columns(DagRun.id), ti.operator, ti.try_number, ti.end_date, _text(rendered.rendered_fields, _MAX_VALUE)
        )
        .select_from(ti)
        .join(DagRun, and_(DagRun.dag_id == ti.dag_id, DagRun.run_id == ti.run_id))
        .outerjoin(rendered, _same_task(rendered, ti))
        .where(ti.dag_id == dag_id, ti.run_id == run_id, ti.task_id == task_id, ti.map_index == map_index)
    ).one_or_none()
    if row is None:
        return None
    *columns, operator, try_number, ended_at, rendered_text = row
    values = dict(zip(_COLUMN_NAMES, columns, strict=True))
    xcoms, past_stats = _get_xcoms(session, dag_id, task_id, map_index, values["dag_run_id"])
    fields = _parse_json(rendered_text)
    return TaskDetails(
        **values,
        model_id=_text_or_none(xcoms.get("model_id")),
        is_model_elsewhere=xcoms.get("model_id") is _ELSEWHERE,
        operator=operator,
        try_number=try_number,
        ended_at=ended_at,
        rendered=fields if isinstance(fields, Mapping) else {},
        xcoms={key: value for key, value in xcoms.items() if value is not _ELSEWHERE},
        past_stats=past_stats,
        is_chat=KIND_KEY in xcoms,
    )


def get_dag_ids(session: Session) -> set[str]:
    """Return the IDs of all DAGs with trainings."""
    statement = select(XComModel.dag_id).join(TaskInstance, _same_task(XComModel, TaskInstance)).where(_is_training())
    return set(session.scalars(statement.distinct()))


def list_trainings(session: Session, dag_ids: set[str], offset: int, limit: int) -> list[TrainingTask]:
    """Return trainings of some DAGs, newest run first.

    :param session: the database session.
    :param dag_ids: IDs of the DAGs.
    :param offset: number of trainings to skip.
    :param limit: maximum number of trainings to return.
    """
    model = aliased(XComModel)
    statement = (
        select(*_columns(XComModel.dag_run_id), _text(model.value, _MAX_PAST_STATS))
        .select_from(XComModel)
        .join(TaskInstance, _same_task(XComModel, TaskInstance))
        .outerjoin(model, and_(_same_task(model, TaskInstance), model.key == "model_id"))
        .where(_is_training(), XComModel.dag_id.in_(dag_ids))
        .order_by(XComModel.dag_run_id.desc(), XComModel.task_id, XComModel.map_index)
        .offset(offset)
        .limit(limit)
    )
    return [
        TrainingTask(
            **dict(zip(_COLUMN_NAMES, columns, strict=True)),
            model_id=_text_or_none(model_id),
            is_model_elsewhere=model_id is _ELSEWHERE,
        )
        for *columns, model_id in ((*columns, _parse_xcom(text)) for *columns, text in session.execute(statement))
    ]


TaskKey = tuple[str, str, int]
"""DAG ID, task ID and map index: a task in all of its runs."""


def get_past_stats(session: Session, trainings: Sequence[TrainingTask]) -> dict[TaskKey, list[tuple[int, Any]]]:
    """Return the ``stats`` of the tasks of some trainings, in one query.

    :param session: the database session.
    :param trainings: the trainings; for the oldest of each task, :data:`MAX_RUNS` runs are included.
    :return: per task the pairs of ``dag_run_id`` and ``stats``, oldest first.
    """
    tasks = Counter((training.dag_id, training.task_id, training.map_index) for training in trainings)
    if not tasks:
        return {}
    task = (XComModel.dag_id, XComModel.task_id, XComModel.map_index)
    run_number = func.row_number().over(partition_by=task, order_by=XComModel.dag_run_id.desc())
    numbered = (
        select(
            *task,
            XComModel.dag_run_id,
            _text(XComModel.value, _MAX_PAST_STATS).label("stats"),
            run_number.label("run_number"),
        )
        .where(
            XComModel.key == "stats",
            tuple_(*task).in_(tasks),
            XComModel.dag_run_id <= max(training.dag_run_id for training in trainings),
        )
        .subquery()
    )
    # The newest runs of all tasks come first, so that the limit on the whole list drops only the oldest statistics.
    newest_first = (numbered.c.run_number, numbered.c.dag_run_id.desc())
    length = func.sum(func.length(numbered.c.stats)).over(order_by=newest_first)
    bounded = (
        select(numbered, length.label("length"))
        .where(numbered.c.run_number < max(tasks.values()) + MAX_RUNS)
        .subquery()
    )
    found: dict[TaskKey, list[tuple[int, Any]]] = {}
    statement = select(bounded).where(bounded.c.length <= _MAX_LIST_STATS).order_by(bounded.c.dag_run_id)
    for dag_id, task_id, map_index, dag_run_id, stats, *_ in session.execute(statement):
        found.setdefault((dag_id, task_id, map_index), []).append((dag_run_id, _parse_json(stats)))
    return found


def _get_xcoms(
    session: Session, dag_id: str, task_id: str, map_index: int, dag_run_id: int
) -> tuple[dict[str, Any], list[Any]]:
    """Return the XComs of a task instance, and the ``stats`` of its previous runs, oldest first."""
    of_task = (XComModel.dag_id == dag_id, XComModel.task_id == task_id, XComModel.map_index == map_index)
    past_runs = (
        select(XComModel.dag_run_id)
        .where(*of_task, XComModel.key == "stats", XComModel.dag_run_id < dag_run_id)
        .order_by(XComModel.dag_run_id.desc())
        .limit(MAX_RUNS - 1)
        .subquery()
    )
    is_current = XComModel.dag_run_id == dag_run_id
    is_past_stats = and_(XComModel.key == "stats", XComModel.dag_run_id.in_(select(past_runs)))
    statement = (
        select(is_current, XComModel.key, _text(XComModel.value, case((is_current, _MAX_VALUE), else_=_MAX_PAST_STATS)))
        .where(*of_task, or_(and_(is_current, XComModel.key.in_(_XCOM_KEYS)), is_past_stats))
        .order_by(XComModel.dag_run_id)
    )
    rows = [(current, key, _parse_xcom(value)) for current, key, value in session.execute(statement)]
    return (
        {key: value for current, key, value in rows if current},
        [value for current, _, value in rows if not current],
    )


_COLUMN_NAMES = ("dag_id", "run_id", "task_id", "map_index", "dag_run_id", "state", "started_at", "is_resuming")


def _columns(dag_run_id: Any) -> tuple[Any, ...]:
    ti = TaskInstance
    is_resuming = ti.next_method.is_not(None)
    return (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, dag_run_id, ti.state, ti.start_date, is_resuming)


def _is_training() -> ColumnElement[bool]:
    """Match one XCom of each training: the operator pushes its task ID; a sensor pushes only the model."""
    kind = aliased(XComModel)
    is_chat = exists().where(_same_task(kind, XComModel), kind.key == KIND_KEY)
    waited_for = and_(XComModel.key == "model_id", TaskInstance.operator == _SENSOR)
    return or_(and_(XComModel.key == "akkio_task_id", ~is_chat), waited_for)


def _same_task(one: Any, other: Any) -> ColumnElement[bool]:
    names = ("dag_id", "run_id", "task_id", "map_index")
    return and_(*(getattr(one, name) == getattr(other, name) for name in names))


def _text(column: Any, max_length: Any) -> ColumnElement[str | None]:
    text = cast(column, Text)
    return case((func.length(text) <= max_length, text), else_=None)


def _parse_json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse_xcom(text: str | None) -> Any:
    """Return the value of an XCom, or :data:`_ELSEWHERE` if the database has only the URL of the value."""
    value = _parse_json(text)
    return _ELSEWHERE if isinstance(value, str) and _URL.fullmatch(value) else value


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
