"""What is another in Airflow 2: its programs, its settings, and the first version of its REST API."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dev.airflow_api import AirflowApi

IS_INSTALLED = version("apache-airflow").startswith("2.")
_PREFIX = re.compile(r"^\[[^]]*\] \{[^}]*\} [A-Z]+ - ", re.MULTILINE)
"""The time, the place and the level of a line in a log."""
_PACKAGE = re.compile(r"^(\w+\.)+(?=\w+: )", re.MULTILINE)
"""Where an exception is from, before its name."""

COMPONENTS = ("scheduler", "dag-processor", "webserver", "triggerer")


def settings(folder: Path, port: int) -> dict[str, str]:
    """Return the settings that Airflow 3 has not, or not under these names; nobody needs to log in.

    :param folder: Airflow's, where a file for its web server is written.
    :param port: where that listens.
    """
    config = folder / "webserver_config.py"
    config.write_text('AUTH_ROLE_PUBLIC = "Admin"\nWTF_CSRF_ENABLED = False\n')
    return {
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
        "AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR": "True",
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "10",
        "AIRFLOW__WEBSERVER__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__WEBSERVER__CONFIG_FILE": str(config),
        "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "XDG_RUNTIME_DIR": str(folder),  # where gunicorn has a socket, else one for all of a person's servers
    }


class Airflow2Api(AirflowApi):
    """Speaks to a local Airflow 2, in which everybody is an administrator."""

    root = "api/v1"
    ordered = ""
    health = "api/v1/health"

    def trigger(self, dag_id: str, seconds: float = 60, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG, once the DAG processor has found it, and return the run's id.

        :param dag_id: which DAG.
        :param seconds: how long to wait for the DAG at most.
        :param conf: the run's parameters; default those of the DAG.
        """
        self.wait_for_dag(dag_id, seconds)
        return str(self._request("POST", f"dags/{dag_id}/dagRuns", {"conf": conf or {}})["dag_run_id"])

    def asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the ``extra`` of the dataset events that a DAG's tasks made, the oldest first."""
        path = f"datasets/events?source_dag_id={dag_id}&order_by=timestamp"
        return [event["extra"] for event in self._request("GET", path)["dataset_events"]]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of a task's try, as text; each exception is a line with its class and message."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self._answer("GET", f"{path}?full_content=true&map_index={map_index}", None, Accept="text/plain")
        answer.encoding = "utf-8"
        return _PACKAGE.sub("", _PREFIX.sub("", answer.text))

    def _xcom_query(self, map_index: int) -> str:
        return f"map_index={map_index}&stringify=false"

    def _log_in(self) -> None:
        """Do nothing: nobody needs to."""
