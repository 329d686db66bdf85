"""Runs a DAG as ``airflow dags test`` does, in this process, and reads what it left behind."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_akkio.api.types import STATUS_KEY
from airflow_provider_akkio.triggers.status import TrainingStatusUpdate
from dev.versions import AIRFLOW, Part

_AIRFLOWS_OWN = {"pipeline_inlets", "pipeline_outlets"}
"""XComs that Airflow 2 leaves where a task has inlets or outlets."""

_HEADER = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow_provider_akkio.operators.akkio import *
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor
from tests.airflow_runs import record_failure

with DAG(
    {dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1), default_args={{"on_failure_callback": record_failure}}
) as dag:
"""

_numbers = itertools.count(1)
_failures: list[BaseException] = []


def record_failure(context: Any) -> None:
    """Keep the exception that failed a task, as a user's ``on_failure_callback`` gets it."""
    _failures.append(context["exception"])


@dataclass(frozen=True)
class FinishedRun:
    """A DAG run that has ended.

    :param dag_run: Airflow's own object.
    :param failures: what the failed tasks raised.
    """

    dag_run: Any
    failures: list[BaseException] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The run's state."""
        return str(self.dag_run.get_state() if hasattr(self.dag_run, "get_state") else self.dag_run.state)

    @property
    def failure(self) -> BaseException:
        """The one failure there was."""
        [only] = self.failures
        return only

    def task_state(self, task_id: str, map_index: int = -1) -> str:
        """Return the state of a task."""
        return str(self._task_instance(task_id, map_index).state)

    def tries(self, task_id: str) -> int:
        """Return how often a task was tried."""
        return int(self._task_instance(task_id, -1).try_number)

    def kept(self) -> list[str]:
        """Return what the tasks left in Airflow's task state store, each entry as JSON; it outlives their tries."""
        if not Part.TASK_STATE_STORE.is_here:
            return []
        from airflow.models.task_state_store import TaskStateStoreModel
        from airflow.utils.session import create_session

        with create_session() as session:
            rows = session.query(TaskStateStoreModel.value).filter_by(dag_id=self.dag_run.dag_id)
            return [row.value for row in rows]

    def xcoms(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the XComs of a task but :meth:`standing`, as a downstream task would get them."""
        keys = self._xcom_keys(task_id, map_index)
        return {
            key: self._xcom(task_id, map_index, key)
            for key in keys
            if key not in {STATUS_KEY, *_AIRFLOWS_OWN} and not key.startswith("_link_")
        }

    def standing(self, task_id: str, map_index: int = -1) -> TrainingStatusUpdate | None:
        """Return what a task has told of how its training stands."""
        return TrainingStatusUpdate.from_json(self._xcom(task_id, map_index, STATUS_KEY))

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


class DagRunner:
    """Writes a DAG file, as an author would, and runs it.

    :param folder: Airflow's DAG folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, body: str) -> FinishedRun:
        """Run the tasks that ``body`` defines.

        :param body: what stands below ``with DAG(...)``.
        """
        with self.parsed(body) as dag:
            return run_in_process(dag)

    def file(self, source: str, dag_id: str, beside: Path | None = None) -> FinishedRun:
        """Run a DAG of a whole DAG file.

        :param source: the file's text.
        :param dag_id: which DAG of it.
        :param beside: a folder that the file wants beside itself.
        """
        if beside is not None:
            shutil.copytree(beside, self._folder / beside.name, dirs_exist_ok=True)
        with self._loaded(source, f"file_{next(_numbers)}") as module:
            tasks = [one for one in vars(module).values() if hasattr(one, "task_id") and one.dag_id == dag_id]
            return run_in_process(tasks[0].dag)

    @contextmanager
    def parsed(self, body: str) -> Iterator[Any]:
        """Parse a DAG file, which is gone afterwards; raise what its author's mistakes raise.

        :param body: what stands below ``with DAG(...)``.
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
    """Run a DAG by ``dag.test()``, with what an older Airflow's needs for it."""
    _failures.clear()
    if hasattr(dag, "sync_to_db"):  # Airflow 2 makes no event of a dataset that its database does not know
        dag.sync_to_db()
    try:
        with pytest.MonkeyPatch.context() as patched:
            if AIRFLOW.release[:2] == (3, 0):
                _activate_assets(dag)
                _read_reschedules(patched)
            if (3, 0) <= AIRFLOW.release[:2] < (3, 3):
                _make_one_server(patched)
                _tell_callbacks_of_exceptions(patched)
            return FinishedRun(dag.test(), list(_failures))
    except AirflowTaskTimeout as error:  # in Airflow 2 it is no Exception, and so ends the run itself
        return FinishedRun(None, [error])


@functools.cache
def _server_in_process() -> Any:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    return InProcessExecutionAPI()


def _make_one_server(patched: pytest.MonkeyPatch) -> None:
    """Make the server that answers the tasks once, as Airflow does since 3.3: to make it takes seconds."""
    from airflow.sdk.execution_time import supervisor

    patched.setattr(supervisor, "in_process_api_server", _server_in_process)


def _tell_callbacks_of_exceptions(patched: pytest.MonkeyPatch) -> None:
    """Give the callbacks of a failed task its exception, as a worker does, and ``dag.test()`` since Airflow 3.3."""
    from airflow.sdk.execution_time import task_runner

    finalize = task_runner.finalize

    def finalize_with_exception(ti: Any, state: Any, context: Any, log: Any, error: Any = None) -> None:
        finalize(ti, state, {**context, "exception": error}, log, error)

    patched.setattr(task_runner, "finalize", finalize_with_exception)


def _read_reschedules(patched: pytest.MonkeyPatch) -> None:
    """Give a rescheduled sensor the time of its start, as a worker does, and ``dag.test()`` since Airflow 3.1."""
    from airflow.sdk.api.client import TaskInstanceOperations
    from airflow.sdk.execution_time.comms import TaskRescheduleStartDate

    ask = TaskInstanceOperations.get_reschedule_start_date

    def ask_and_parse(*arguments: Any, **options: Any) -> TaskRescheduleStartDate:
        return TaskRescheduleStartDate.model_validate(ask(*arguments, **options).model_dump(warnings=False))

    patched.setattr(TaskInstanceOperations, "get_reschedule_start_date", ask_and_parse)


def _activate_assets(dag: Any) -> None:
    """Make the assets of a DAG known, as the DAG processor does, and ``dag.test()`` does since Airflow 3.1."""
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.utils.session import create_session

    named = {asset.name: asset for task in dag.tasks for asset in (*task.inlets, *task.outlets)}
    with create_session() as session:
        for asset in named.values():
            if session.query(AssetModel).filter_by(name=asset.name).first() is None:
                session.add(AssetModel(name=asset.name, uri=asset.uri, group=asset.group))
                session.add(AssetActive(name=asset.name, uri=asset.uri))
