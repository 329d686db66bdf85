"""Run DAGs in this process, as ``airflow dags test`` does, and read their tasks, XComs and stored records."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_akkio.api.types import STATUS_KEY
from airflow_provider_akkio.triggers.status import AkkioStatusUpdate
from dev.versions import AIRFLOW, Part

_HEADER = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow_provider_akkio.operators.akkio import *
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor
from airflow_provider_akkio.transfers.sql_predictions import SqlToAkkioPredictionOperator
from airflow_provider_akkio.transfers.sql_to_akkio import SqlToAkkioDatasetOperator
from tests.airflow_runs import record_failure

with DAG(
    {dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1), default_args={{"on_failure_callback": record_failure}}
) as dag:
"""

_numbers = itertools.count(1)
_failures: list[BaseException] = []


def record_failure(context: Any) -> None:
    """Record the exception of a failed task; the DAGs of :class:`DagRunner` use it as ``on_failure_callback``."""
    _failures.append(context["exception"])


@dataclass(frozen=True)
class FinishedRun:
    """A finished DAG run.

    :param dag_run: Airflow's DAG run.
    :param failures: exceptions of the failed tasks.
    """

    dag_run: Any
    failures: list[BaseException] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The state of the run."""
        return str(self.dag_run.get_state() if hasattr(self.dag_run, "get_state") else self.dag_run.state)

    @property
    def failure(self) -> BaseException:
        """The only failure."""
        [only] = self.failures
        return only

    def task_state(self, task_id: str, map_index: int = -1) -> str:
        """Return the state of a task."""
        return str(self._task_instance(task_id, map_index).state)

    def tries(self, task_id: str) -> int:
        """Return the number of attempts of a task."""
        return int(self._task_instance(task_id, -1).try_number)

    def stored_records(self) -> list[str]:
        """Return the values in Airflow's task state store as JSON."""
        if not Part.TASK_STATE_STORE.is_here:
            return []
        from airflow.models.task_state_store import TaskStateStoreModel
        from airflow.utils.session import create_session

        with create_session() as session:
            rows = session.query(TaskStateStoreModel.value).filter_by(dag_id=self.dag_run.dag_id)
            return [row.value for row in rows]

    def xcoms(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the XComs of a task as a downstream task would read them; see :func:`essential_xcoms`."""
        keys = self._xcom_keys(task_id, map_index)
        return essential_xcoms({key: self._xcom(task_id, map_index, key) for key in keys})

    def status_update(self, task_id: str, map_index: int = -1) -> AkkioStatusUpdate | None:
        """Return the XCom ``akkio_status`` of a task."""
        return AkkioStatusUpdate.from_json(self._xcom(task_id, map_index, STATUS_KEY))

    def _xcom(self, task_id: str, map_index: int, key: str) -> Any:
        return self._task_instance(task_id, map_index).xcom_pull(task_ids=task_id, key=key, map_indexes=map_index)

    def _task_instance(self, task_id: str, map_index: int) -> Any:
        return self.dag_run.get_task_instance(task_id, map_index=map_index)

    def _xcom_keys(self, task_id: str, map_index: int) -> list[str]:
        from airflow.utils.session import create_session

        try:
            from airflow.models.xcom import XComModel
        except ImportError:
            from airflow.models.xcom import XCom as XComModel
        with create_session() as session:
            rows = session.query(XComModel.key).filter_by(
                dag_id=self.dag_run.dag_id, run_id=self.dag_run.run_id, task_id=task_id, map_index=map_index
            )
            return sorted(row.key for row in rows)


def essential_xcoms(xcoms: Mapping[str, Any]) -> dict[str, Any]:
    """Return XComs except ``akkio_status``, and except those that Airflow pushes for links, inlets and outlets."""
    ignored = (STATUS_KEY, "_link_", "pipeline_inlets", "pipeline_outlets")
    return {key: value for key, value in xcoms.items() if not key.startswith(ignored)}


class Code(str):
    """A parameter that is Python code."""

    __slots__ = ()
    __repr__ = str.__str__


def call(operator: str, **parameters: Any) -> str:
    """Return the code that creates a task; :class:`Code` is inserted as it is, everything else as a literal."""
    parameters = {"retry_delay": 0} | parameters
    return f"{operator}({', '.join(f'{name}={value!r}' for name, value in parameters.items())})"


RunTask = Callable[..., FinishedRun]


class DagRunner:
    """Writes a DAG file as a DAG author would, and runs it.

    :param folder: Airflow's DAG folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, body: str) -> FinishedRun:
        """Run a DAG.

        :param body: source code below ``with DAG(...)``.
        """
        with self.parsed(body) as dag:
            return run_in_process(dag)

    def file(self, source: str, dag_id: str, data: Path | None = None) -> FinishedRun:
        """Run a DAG of a complete DAG file.

        :param source: source code of the file.
        :param dag_id: ID of the DAG.
        :param data: folder that the file expects next to itself.
        """
        if data is not None:
            shutil.copytree(data, self._folder / data.name, dirs_exist_ok=True)
        with self._loaded(source, f"file_{next(_numbers)}") as module:
            tasks = [value for value in vars(module).values() if hasattr(value, "task_id") and value.dag_id == dag_id]
            return run_in_process(tasks[0].dag)

    @contextmanager
    def parsed(self, body: str) -> Iterator[Any]:
        """Parse a DAG file and yield its DAG; errors of the DAG author are raised.

        :param body: source code below ``with DAG(...)``.
        """
        name = f"dag_{next(_numbers)}"
        source = _HEADER.format(dag_id=name) + textwrap.indent(textwrap.dedent(body), "    ")
        with self._loaded(source, name) as module:
            yield module.dag

    @contextmanager
    def _loaded(self, source: str, name: str) -> Iterator[ModuleType]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.py"
        path.write_text(source)
        try:
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            yield module
        finally:
            path.unlink()


def run_in_process(dag: Any) -> FinishedRun:
    """Run a DAG with ``dag.test()``, and add what this method lacks in older Airflow versions."""
    _failures.clear()
    if hasattr(dag, "sync_to_db"):  # Airflow 2 creates events only for datasets in its database
        dag.sync_to_db()
    try:
        with pytest.MonkeyPatch.context() as patch:
            if AIRFLOW.release[:2] == (3, 0):
                _activate_assets(dag)
                _parse_reschedule_dates(patch)
            if (3, 0) <= AIRFLOW.release[:2] < (3, 3):
                _share_api_server(patch)
                _pass_exceptions_to_callbacks(patch)
            return FinishedRun(dag.test(), list(_failures))
    except AirflowTaskTimeout as error:  # a BaseException in Airflow 2, which therefore ends dag.test()
        return FinishedRun(None, [error])


@functools.cache
def _api_server() -> Any:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    return InProcessExecutionAPI()


def _share_api_server(patch: pytest.MonkeyPatch) -> None:
    """Create the in-process API server once, as Airflow 3.3 does: its creation takes seconds."""
    from airflow.sdk.execution_time import supervisor

    patch.setattr(supervisor, "in_process_api_server", _api_server)


def _pass_exceptions_to_callbacks(patch: pytest.MonkeyPatch) -> None:
    """Pass the exception to the failure callbacks, as workers do, and ``dag.test()`` since Airflow 3.3."""
    from airflow.sdk.execution_time import task_runner

    finalize = task_runner.finalize

    def finalize_with_exception(ti: Any, state: Any, context: Any, log: Any, error: Any = None) -> None:
        finalize(ti, state, {**context, "exception": error}, log, error)

    patch.setattr(task_runner, "finalize", finalize_with_exception)


def _parse_reschedule_dates(patch: pytest.MonkeyPatch) -> None:
    """Pass the start date to rescheduled sensors, as workers do, and ``dag.test()`` since Airflow 3.1."""
    from airflow.sdk.api.client import TaskInstanceOperations
    from airflow.sdk.execution_time.comms import TaskRescheduleStartDate

    get_start_date = TaskInstanceOperations.get_reschedule_start_date

    def get_parsed_start_date(*arguments: Any, **options: Any) -> TaskRescheduleStartDate:
        return TaskRescheduleStartDate.model_validate(get_start_date(*arguments, **options).model_dump(warnings=False))

    patch.setattr(TaskInstanceOperations, "get_reschedule_start_date", get_parsed_start_date)


def _activate_assets(dag: Any) -> None:
    """Register the assets of a DAG, as the DAG processor does, and ``dag.test()`` since Airflow 3.1."""
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.utils.session import create_session

    assets = {asset.name: asset for task in dag.tasks for asset in (*task.inlets, *task.outlets)}
    with create_session() as session:
        for asset in assets.values():
            if session.query(AssetModel).filter_by(name=asset.name).first() is None:
                session.add(AssetModel(name=asset.name, uri=asset.uri, group=asset.group))
                session.add(AssetActive(name=asset.name, uri=asset.uri))
