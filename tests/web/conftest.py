"""Airflow's own web application, with the pages in it, over the database of runs that were really made."""

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
    """Mark what needs the pages."""
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
    """A person who is logged in, and may do everything."""
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
class Recorded:
    """A task instance in Airflow's database.

    :param client: who looks at it.
    """

    client: TestClient
    dag_id: str
    run_id: str
    task_id: str = "train"
    map_index: int = -1

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/akkio/dags/{self.dag_id}/runs/{self.run_id}/tasks/{self.task_id}?map_index={self.map_index}"

    def page(self) -> str:
        """Return its page."""
        answer = self.client.get(self.path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def change(self, **columns: Any) -> None:
        """Change its row, as Airflow does in the course of things that ``dag.test()`` cannot show."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(TaskInstance).filter_by(**self._key()).update(columns)

    def leave(self, key: str, value: Any) -> None:
        """Write an XCom of it, as the server for the tasks does, to which they send what they have made plain."""
        from airflow.models.dagrun import DagRun
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        self.take(key)
        with create_session() as session:
            run = session.query(DagRun).filter_by(dag_id=self.dag_id, run_id=self.run_id).one()
            session.add(XComModel(dag_run_id=run.id, key=key, value=value, **self._key()))

    def take(self, *keys: str) -> None:
        """Delete XComs of it."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(XComModel).filter_by(**self._key()).filter(XComModel.key.in_(keys)).delete()

    def forget_parameters(self) -> None:
        """Delete Airflow's record of its parameters."""
        from airflow.models.renderedtifields import RenderedTaskInstanceFields
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(RenderedTaskInstanceFields).filter_by(**self._key()).delete()

    def _key(self) -> dict[str, Any]:
        return {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
        }


Records = Callable[..., Recorded]
RecordsOften = Callable[..., Recorded]


@pytest.fixture
def record(run_dag: DagRunner, trained: ScriptedAkkio, client: TestClient) -> Records:
    """Run a DAG, and return a task instance of it."""

    def run(body: str = TRAIN, task_id: str = "train") -> Recorded:
        dag_run = run_dag(body).dag_run
        return Recorded(client, dag_run.dag_id, dag_run.run_id, task_id)

    return run


@pytest.fixture
def record_often(run_dag: DagRunner, trained: ScriptedAkkio, client: TestClient) -> RecordsOften:
    """Run a training once for each of some statistics, and return the last."""

    def run(statistics: list[Any], body: str = TRAIN) -> Recorded:
        with run_dag.parsed(body) as dag:
            for stats in statistics:
                trained.script("result", result("M1", stats=stats))
                dag_run = run_in_process(dag).dag_run
        return Recorded(client, dag_run.dag_id, dag_run.run_id)

    return run


def text_of(page: str) -> str:
    """Return what a page says."""
    main = page.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", main)).split())


def better(f1: float) -> Any:
    """Return the statistics of a model of that F1."""
    return [[{**STATS[0][0], "f1": f1}]]


@contextmanager
def counting_queries() -> Iterator[list[str]]:
    """Collect what the database is asked for."""
    from sqlalchemy import Engine, event

    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)
