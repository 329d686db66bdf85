"""A REST client for Airflow, used by the demo and the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

_FINISHED = ("success", "failed")
_PAGE_SIZE = 100
_TASK_INSTANCES = "task_instances"
_TIMEOUT = 120.0
"""Seconds for a request. Airflow responds slowly on a machine that runs several of them."""


@dataclass(frozen=True)
class TaskView:
    """A task instance.

    :param hostname: worker of the last attempt; empty before the first.
    :param triggerer: host name of the triggerer if the task is deferred.
    """

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    hostname: str = ""
    triggerer: str | None = None

    @property
    def name(self) -> str:
        """The task ID, with the map index of a mapped task."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True)
class Slots:
    """Slots of the default pool."""

    running: int
    deferred: int


class AirflowApi:
    """Client of a local Airflow.

    :param login: name and password; ``None`` if every user is an administrator.
    """

    root = "api/v2"
    order = "&order_by=id"
    """Query parameter that gives task instances the same order on every page."""
    health = "api/v2/monitor/health"

    def __init__(self, port: int, login: tuple[str, str] | None = None) -> None:
        self._login = login
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._session = requests.Session()
        self._session.trust_env = False

    def is_healthy(self) -> bool:
        """Return whether all components report that they are healthy."""
        try:
            response = self._session.get(f"{self.url}/{self.health}", timeout=_TIMEOUT)
        except requests.RequestException:
            return False
        return response.ok and all(component["status"] == "healthy" for component in response.json().values())

    def import_errors(self) -> list[str]:
        """Return the stack traces of DAG files that cannot be imported."""
        return [error["stack_trace"] for error in self._request("GET", "importErrors")["import_errors"]]

    def add_connection(self, connection_id: str, host: str, key: str) -> None:
        """Store an Akkio connection in Airflow's database."""
        fields = {"connection_id": connection_id, "conn_type": "akkio", "host": host, "password": key}
        self._request("POST", "connections", fields)

    def test_connection(self, connection_id: str) -> tuple[bool, str]:
        """Test a connection as Airflow's *Test* button does; return the result and the message."""
        body = {"connection_id": connection_id, "conn_type": "akkio"}
        result = self._request("POST", "connections/test", body)
        return result["status"], result["message"]

    def trigger(self, dag_id: str, seconds: float = 60, conf: Mapping[str, Any] | None = None) -> str:
        """Wait until the DAG is parsed, start a run and return its ID.

        :param seconds: time limit for parsing, in seconds.
        :param conf: parameters of the run; default those of the DAG.
        """
        deadline = time.monotonic() + seconds
        while self._request("GET", f"dags/{dag_id}", allow_missing=True) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no DAG {dag_id} within {seconds:.0f} s; import errors: {self.import_errors()}")
            time.sleep(0.3)
        return str(self._request("POST", f"dags/{dag_id}/dagRuns", self._run_body(conf or {}))["dag_run_id"])

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task of a run, whatever its state."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task_id]}
        self._request("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def tasks(self, dag_id: str, run_id: str) -> list[TaskView]:
        """Return the task instances of a run."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[Any] = []
        while True:
            page = self._request("GET", f"{path}?limit={_PAGE_SIZE}&offset={len(found)}{self.order}")[_TASK_INSTANCES]
            found += page
            if len(page) < _PAGE_SIZE:
                return [_task_view(task) for task in found]

    def runs(self, dag_id: str) -> list[str]:
        """Return the IDs of a DAG's runs, the oldest first."""
        return [run["dag_run_id"] for run in self._request("GET", f"dags/{dag_id}/dagRuns?order_by=id")["dag_runs"]]

    def asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the ``extra`` of a DAG's asset events, the oldest first."""
        path = f"assets/events?source_dag_id={dag_id}&order_by=timestamp"
        return [event["extra"] for event in self._request("GET", path)["asset_events"]]

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self._request("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def slots(self) -> Slots:
        """Return the slots of the default pool."""
        pool = self._request("GET", "pools/default_pool")
        return Slots(pool["running_slots"], pool["deferred_slots"])

    def follow(
        self, dag_id: str, run_id: str, on_change: Callable[[TaskView], None] = lambda _: None, seconds: float = 600
    ) -> str:
        """Wait until a run has finished and return its state."""
        states: dict[str, str | None] = {}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.run_state(dag_id, run_id)
            for task in self.tasks(dag_id, run_id):
                if task.state and states.get(task.name) != task.state:
                    states[task.name] = task.state
                    on_change(task)
            if state in _FINISHED:
                return state
            time.sleep(0.25)
        raise TimeoutError(f"run {run_id} of {dag_id} is not finished after {seconds:.0f} s: {states}")

    def xcoms(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return all XComs of a task instance."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        entries = self._request("GET", f"{path}?map_index={map_index}")["xcom_entries"]
        return {entry["key"]: self.xcom(dag_id, run_id, task_id, entry["key"], map_index) for entry in entries}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """Return one XCom of a task instance, ``None`` if it is missing."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}?{self._xcom_query(map_index)}"
        entry = self._request("GET", path, allow_missing=True)
        return None if entry is None else entry["value"]

    def live_hosts(self, job_type: str) -> list[str]:
        """Return the host names of the live jobs of a type, such as ``TriggererJob``."""
        jobs = self._request("GET", f"jobs?job_type={job_type}&is_alive=true&limit={_PAGE_SIZE}")["jobs"]
        return [job["hostname"] for job in jobs]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of an attempt as text; an exception is a line with its class and message."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        path += f"?full_content=true&map_index={map_index}"
        return "\n".join(text for line in self._request("GET", path)["content"] for text in _log_lines(line))

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
        """Return the URLs of a task instance's extra links by name."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links"
        return dict(self._request("GET", path)["extra_links"])

    def page(self, path: str) -> requests.Response:
        """Return a page outside the REST API."""
        self._authenticate()
        return self._session.get(f"{self.url}/{path}", timeout=_TIMEOUT)

    def text(self, path: str) -> str:
        """Return the body of an API response as text."""
        return self._send("GET", path, None).text

    def _request(self, method: str, path: str, body: Any = None, *, allow_missing: bool = False) -> Any:
        response = self._send(method, path, body)
        if allow_missing and response.status_code == requests.codes.not_found:
            return None
        if not response.ok:
            raise RuntimeError(f"{method} {path}: HTTP {response.status_code} {response.text[:500]}")
        return response.json()

    def _run_body(self, conf: Mapping[str, Any]) -> dict[str, Any]:
        return {"logical_date": None, "conf": conf}

    def _xcom_query(self, map_index: int) -> str:
        return f"map_index={map_index}"

    def _send(self, method: str, path: str, body: Any, **headers: str) -> requests.Response:
        self._authenticate()
        return self._session.request(
            method, f"{self.url}/{self.root}/{path}", json=body, headers=headers, timeout=_TIMEOUT
        )

    def _authenticate(self) -> None:
        if "Authorization" not in self._session.headers:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"

    def _token(self) -> str:
        url = f"{self.url}/auth/token"
        if self._login is None:
            return str(self._session.get(url, timeout=_TIMEOUT).json()["access_token"])
        name, password = self._login
        response = self._session.post(url, json={"username": name, "password": password}, timeout=_TIMEOUT)
        return str(response.json()["access_token"])


def _task_view(task: Any) -> TaskView:
    job = task["triggerer_job"]
    triggerer = job["hostname"] if job and task["state"] == "deferred" else None
    return TaskView(
        task["task_id"], task["map_index"], task["state"], task["try_number"], task["hostname"] or "", triggerer
    )


def _log_lines(line: Any) -> list[str]:
    errors = line.get("error_detail") or []
    return [str(line["event"]), *(f"{error['exc_type']}: {error['exc_value']}" for error in errors)]
