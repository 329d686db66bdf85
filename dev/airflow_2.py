"""Differences of Airflow 2: its components, its settings and version 1 of its REST API."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dev.airflow_api import AirflowApi

IS_INSTALLED = version("apache-airflow").startswith("2.")
COMPONENTS = ("scheduler", "dag-processor", "webserver", "triggerer")

_LOG_PREFIX = re.compile(r"^\[[^]]*\] \{[^}]*\} [A-Z]+ - ", re.MULTILINE)
_EXCEPTION_MODULE = re.compile(r"^(\w+\.)+(?=\w+: )", re.MULTILINE)


def settings(folder: Path, port: int) -> dict[str, str]:
    """Return the settings that Airflow 3 does not have or names differently; no login is required."""
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
        "XDG_RUNTIME_DIR": str(folder),  # gunicorn's socket; the default is shared by all servers of the user
    }


class Airflow2Api(AirflowApi):
    """Client of a local Airflow 2 without a login."""

    root = "api/v1"
    order = ""
    health = "api/v1/health"

    def asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the ``extra`` of a DAG's dataset events, the oldest first."""
        path = f"datasets/events?source_dag_id={dag_id}&order_by=timestamp"
        return [event["extra"] for event in self._request("GET", path)["dataset_events"]]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of an attempt as text; an exception is a line with its class and message."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        response = self._send("GET", f"{path}?full_content=true&map_index={map_index}", None, Accept="text/plain")
        response.encoding = "utf-8"
        return _EXCEPTION_MODULE.sub("", _LOG_PREFIX.sub("", response.text))

    def _run_body(self, conf: Mapping[str, Any]) -> dict[str, Any]:
        return {"conf": conf}

    def _xcom_query(self, map_index: int) -> str:
        return f"map_index={map_index}&stringify=false"

    def _authenticate(self) -> None:
        """Do nothing: every user is an administrator."""
