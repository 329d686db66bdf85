"""Airflow's REST API, as far as the demo and the tests need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

_FINISHED = ("success", "failed")
_PAGE = 100
"""Entries that Airflow lists at once, at most."""
_TASKS = "task_instances"


@dataclass(frozen=True)
class TaskView:
    """A task instance as the API shows it.

    :param task_id: its task.
    :param map_index: its index if it is mapped, else -1.
    :param state: its state; ``None`` before it is scheduled.
    :param try_number: how often it was tried.
    :param hostname: the worker that had it last; empty before one has.
    :param triggerer: the name of the triggerer that waits for it, if one does.
    """

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    hostname: str = ""
    triggerer: str | None = None

    @property
    def name(self) -> str:
        """The task, with the index of a mapped one."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True)
class Slots:
    """How the default pool is used.

    :param running: slots that a worker holds.
    :param deferred: tasks that wait in the triggerer, and hold none.
    """

    running: int
    deferred: int


class AirflowApi:
    """Speaks to a local Airflow.

    :param port: where its API server listens.
    :param login: name and password; by default none, for an Airflow in which everybody is an administrator.
    """

    root = "api/v2"
    """Where the API's addresses begin."""

    ordered = "&order_by=id"
    """Has task instances listed in an order that holds from one page to the next."""

    health = "api/v2/monitor/health"
    """Where Airflow tells how its components are."""

    def __init__(self, port: int, login: tuple[str, str] | None = None) -> None:
        self._login = login
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._session = requests.Session()
        self._session.trust_env = False

    def is_healthy(self) -> bool:
        """Return whether all four components say that they are well."""
        try:
            answer = self._session.get(f"{self.url}/{self.health}", timeout=5)
        except requests.RequestException:
            return False
        return answer.ok and all(part["status"] == "healthy" for part in answer.json().values())

    def has_dag(self, dag_id: str) -> bool:
        """Return whether the DAG processor has found a DAG."""
        return self._request("GET", f"dags/{dag_id}", allow_missing=True) is not None

    def import_errors(self) -> list[str]:
        """Return what went wrong in DAG files."""
        return [error["stack_trace"] for error in self._request("GET", "importErrors")["import_errors"]]

    def add_connection(self, connection_id: str, host: str, key: str) -> None:
        """Store a connection to Akkio in Airflow's database.

        :param connection_id: its id.
        :param host: Akkio's site.
        :param key: the API key.
        """
        fields = {"connection_id": connection_id, "conn_type": "akkio", "host": host, "password": key}
        self._request("POST", "connections", fields)

    def test_connection(self, connection_id: str) -> tuple[bool, str]:
        """Test a connection as the button of Airflow's page does, and return whether it works, and what Airflow says.

        :param connection_id: a connection that Airflow knows.
        """
        said = self._request("POST", "connections/test", {"connection_id": connection_id, "conn_type": "akkio"})
        return said["status"], said["message"]

    def trigger(self, dag_id: str, seconds: float = 60, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG, once the DAG processor has found it, and return the run's id.

        :param dag_id: which DAG.
        :param seconds: how long to wait for the DAG at most.
        :param conf: the run's parameters; default those of the DAG.
        """
        self.wait_for_dag(dag_id, seconds)
        run = self._request("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def wait_for_dag(self, dag_id: str, seconds: float = 60) -> None:
        """Wait until the DAG processor has found a DAG.

        :param dag_id: which DAG.
        :param seconds: how long to wait at most.
        """
        ends_at = time.monotonic() + seconds
        while not self.has_dag(dag_id):
            if time.monotonic() > ends_at:
                raise TimeoutError(f"no DAG {dag_id} within {seconds:.0f} s; import errors: {self.import_errors()}")
            time.sleep(0.3)

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Have a task done again, whatever its state, as a person does in the web page."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task_id]}
        self._request("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def tasks(self, dag_id: str, run_id: str) -> list[TaskView]:
        """Return the task instances of a run."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[Any] = []
        while True:
            page = self._request("GET", f"{path}?limit={_PAGE}&offset={len(found)}{self.ordered}")[_TASKS]
            found += page
            if len(page) < _PAGE:
                return [_task_view(one) for one in found]

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's runs, the oldest first."""
        return [run["dag_run_id"] for run in self._request("GET", f"dags/{dag_id}/dagRuns?order_by=id")["dag_runs"]]

    def asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the ``extra`` of the asset events that a DAG's tasks made, the oldest first."""
        path = f"assets/events?source_dag_id={dag_id}&order_by=timestamp"
        return [event["extra"] for event in self._request("GET", path)["asset_events"]]

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self._request("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def slots(self) -> Slots:
        """Return how many worker slots are in use, and how many tasks are deferred."""
        pool = self._request("GET", "pools/default_pool")
        return Slots(pool["running_slots"], pool["deferred_slots"])

    def follow(
        self, dag_id: str, run_id: str, seen: Callable[[TaskView], None] = lambda _: None, seconds: float = 180
    ) -> str:
        """Wait until a run has ended, and return its state.

        :param dag_id: which DAG.
        :param run_id: which run of it.
        :param seen: told each change of a task's state that shows.
        :param seconds: how long to wait at most.
        """
        states: dict[str, str | None] = {}
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            state = self.run_state(dag_id, run_id)
            for task in self.tasks(dag_id, run_id):
                if task.state and states.get(task.name) != task.state:
                    states[task.name] = task.state
                    seen(task)
            if state in _FINISHED:
                return state
            time.sleep(0.25)
        raise TimeoutError(f"run {run_id} of {dag_id} did not end within {seconds:.0f} s: {states}")

    def xcoms(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return all XComs of a task instance."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        listed = self._request("GET", f"{path}?map_index={map_index}")["xcom_entries"]
        return {one["key"]: self.xcom(dag_id, run_id, task_id, one["key"], map_index) for one in listed}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """Return one XCom of a task instance, ``None`` if there is none of that key."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}?{self._xcom_query(map_index)}"
        found = self._request("GET", path, allow_missing=True)
        return None if found is None else found["value"]

    def jobs(self, job_type: str) -> list[str]:
        """Return the names of the machines on which a part of Airflow runs, and has been heard of of late.

        :param job_type: such as ``TriggererJob``.
        """
        listed = self._request("GET", f"jobs?job_type={job_type}&is_alive=true&limit={_PAGE}")["jobs"]
        return [job["hostname"] for job in listed]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of a task's try, as text; each exception is a line with its class and message."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        path += f"?full_content=true&map_index={map_index}"
        return "\n".join(text for line in self._request("GET", path)["content"] for text in _log_lines(line))

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
        """Return the addresses of a task instance's extra links, by name."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links"
        return dict(self._request("GET", path)["extra_links"])

    def page(self, path: str) -> requests.Response:
        """Return a page of Airflow's that is no part of its API.

        :param path: from Airflow's root on, without a slash before it.
        """
        self._log_in()
        return self._session.get(f"{self.url}/{path}", timeout=30)

    def text(self, path: str) -> str:
        """Return what the API says at a path, just as it says it.

        :param path: below the API's root.
        """
        return self._answer("GET", path, None).text

    def _request(self, method: str, path: str, body: Any = None, *, allow_missing: bool = False) -> Any:
        answer = self._answer(method, path, body)
        if allow_missing and answer.status_code == requests.codes.not_found:
            return None
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def _xcom_query(self, map_index: int) -> str:
        return f"map_index={map_index}"

    def _answer(self, method: str, path: str, body: Any, **headers: str) -> requests.Response:
        self._log_in()
        return self._session.request(method, f"{self.url}/{self.root}/{path}", json=body, headers=headers, timeout=30)

    def _log_in(self) -> None:
        if "Authorization" not in self._session.headers:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"

    def _token(self) -> str:
        url = f"{self.url}/auth/token"
        if self._login is None:
            return str(self._session.get(url, timeout=10).json()["access_token"])
        name, password = self._login
        answer = self._session.post(url, json={"username": name, "password": password}, timeout=10)
        return str(answer.json()["access_token"])


def _task_view(one: Any) -> TaskView:
    job = one["triggerer_job"]
    waits_with = job["hostname"] if job and one["state"] == "deferred" else None
    return TaskView(
        one["task_id"], one["map_index"], one["state"], one["try_number"], one["hostname"] or "", waits_with
    )


def _log_lines(line: Any) -> list[str]:
    errors = line.get("error_detail") or []
    return [str(line["event"]), *(f"{error['exc_type']}: {error['exc_value']}" for error in errors)]
