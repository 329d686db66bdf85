"""Airflow's real web application with the pages, and the database of runs that really took place."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dev.versions import Part
from tests.airflow_runs import DagRunner, run_in_process
from tests.scripted import ScriptedAkkio, accepted, result, status
from tests.versions import needs

collect_ignore_glob = [] if Part.PAGES.is_here else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(needs(Part.PAGES))


STATS = [
    [
        {"field_name": "Lead", "field_type": "category", "class": 0, "class_name": "no", "count": 90, "f1": 0.9},
        {"field_name": "Lead", "field_type": "category", "class": 1, "class_name": "yes", "count": 10, "f1": 0.5},
    ]
]
TRAIN = "AkkioTrainOperator(task_id='train', dataset_id='D1', predict_fields='Lead', duration=60, poll_interval=0.05)"
MAPPED = "AkkioTrainOperator.partial(task_id='train', predict_fields='Lead', poll_interval=0.05).expand(dataset_id={})"


@pytest.fixture(scope="session")
def client(airflow_database: None) -> TestClient:
    """An administrator's client."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    client = TestClient(create_app(), base_url="http://localhost")
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ada", role="ADMIN"))
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio whose trainings succeed."""
    connected.script("new", accepted("T1"))
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result("M1", stats=STATS, field_importance={"Visits": 0.75, "Age": 0.25}))
    return connected


@dataclass
class StoredTask:
    """A task instance in Airflow's database."""

    client: TestClient
    dag_id: str
    run_id: str
    task_id: str = "train"
    map_index: int = -1

    @property
    def path(self) -> str:
        """Path of its tab."""
        return f"/akkio/dags/{self.dag_id}/runs/{self.run_id}/tasks/{self.task_id}?map_index={self.map_index}"

    def page(self) -> str:
        """Return the HTML of its tab."""
        response = self.client.get(self.path)
        assert response.status_code == 200, response.text
        return response.text

    def text(self) -> str:
        """Return the text of its tab."""
        return text_of(self.page())

    def update(self, **columns: Any) -> None:
        """Change its row to a state that ``dag.test()`` cannot produce."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(TaskInstance).filter_by(**self._key()).update(columns)

    def set_xcom(self, key: str, value: Any) -> None:
        """Write an XCom as the execution API does, which receives serialized values."""
        from airflow.models.dagrun import DagRun
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        self.delete_xcoms(key)
        with create_session() as session:
            run = session.query(DagRun).filter_by(dag_id=self.dag_id, run_id=self.run_id).one()
            session.add(XComModel(dag_run_id=run.id, key=key, value=value, **self._key()))

    def delete_xcoms(self, *keys: str) -> None:
        """Delete XComs."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(XComModel).filter_by(**self._key()).filter(XComModel.key.in_(keys)).delete()

    def _key(self) -> dict[str, Any]:
        return {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
        }


RunTask = Callable[..., StoredTask]


@pytest.fixture
def run_task(run_dag: DagRunner, trained: ScriptedAkkio, client: TestClient) -> RunTask:
    """Return a function that runs a DAG and returns one of its task instances."""

    def run(body: str = TRAIN, task_id: str = "train") -> StoredTask:
        dag_run = run_dag(body).dag_run
        return StoredTask(client, dag_run.dag_id, dag_run.run_id, task_id)

    return run


@pytest.fixture
def run_repeatedly(run_dag: DagRunner, trained: ScriptedAkkio, client: TestClient) -> RunTask:
    """Return a function that runs a training once per element of ``statistics`` and returns the last one."""

    def run(statistics: list[Any], body: str = TRAIN) -> StoredTask:
        with run_dag.parsed(body) as dag:
            for stats in statistics:
                trained.script("result", result("M1", stats=stats))
                finished = run_in_process(dag)
                assert finished.failures == []
        return StoredTask(client, finished.dag_run.dag_id, finished.dag_run.run_id)

    return run


def text_of(page: str) -> str:
    """Return the text of a page."""
    main = page.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", main)).split())


def stats_with_f1(f1: float) -> Any:
    """Return the statistics of a model with this F1."""
    return [[{**STATS[0][0], "f1": f1}]]


@contextmanager
def recorded_queries() -> Iterator[list[str]]:
    """Record the SQL statements, without the statements of the access control in Airflow."""
    from sqlalchemy import Engine, event

    statements: list[str] = []

    def record(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not any(table in statement for table in ("revoked_token", "dag_bundle_team")):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)
