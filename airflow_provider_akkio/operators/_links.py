"""Buttons on the page of a task instance: to the tab of its training, and to Akkio.

Airflow 3 stores the URL of each link in XCom whenever a worker ends or defers the task; Airflow 2 computes it in the
webserver, which loads only the classes listed as ``extra-links`` in the provider info.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_akkio.version_compat import AIRFLOW_V_3_1_1_PLUS

TAB_ROUTE = "akkio"
"""Last segment of the tab's URL in Airflow's UI."""


def task_path(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the path of a task, relative to Airflow's root; our own pages use the same path.

    ``:`` and ``+`` are not escaped, because Airflow's UI compares a run ID with its URL without unescaping.
    """
    parts = (("dags", dag_id), ("runs", run_id), ("tasks", task_id))
    return "/".join(f"{kind}/{quote(name, safe=':+')}" for kind, name in parts)


class AkkioTrainingLink(BaseOperatorLink):
    """Link to the tab *Akkio* of the task instance."""

    name = "Akkio training"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the URL of the tab, relative to Airflow's root.

        :param operator: the task.
        :param ti_key: the task instance or its key.
        """
        mapped = "" if ti_key.map_index in (None, -1) else f"/mapped/{ti_key.map_index}"
        return f"{task_path(ti_key.dag_id, ti_key.run_id, ti_key.task_id)}{mapped}/plugin/{TAB_ROUTE}"


class AkkioLink(BaseOperatorLink):
    """Link to Akkio's web application, which has no public URL for a single model."""

    name = "Akkio"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return Akkio's URL, which is the same for every task.

        :param operator: the task.
        :param ti_key: the task instance or its key.
        """
        return "https://app.akkio.com/"


TRAINING_LINKS = (AkkioTrainingLink(), AkkioLink()) if AIRFLOW_V_3_1_1_PLUS else (AkkioLink(),)
"""Links of the tasks that train a model or wait for one. The tab needs Airflow 3.1.1."""
