"""The buttons on the page of a task that trains, or waits for a training."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_akkio.operators.train import AkkioTrainOperator
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor

_AKKIO = "https://app.akkio.com/"


class TrainingLink(BaseOperatorLink):
    """Leads to the tab of the training.

    :param tab: the tab's part of the address.
    """

    operators = [AkkioTrainOperator, AkkioTrainSensor]  # noqa: RUF012 - Airflow declares it so

    def __init__(self, tab: str) -> None:
        self._tab = tab

    @property
    def name(self) -> str:
        """What the button says."""
        return "Akkio training"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address of the tab, relative to Airflow's own.

        :param operator: the task.
        :param ti_key: which of its instances.
        """
        parts = (("dags", ti_key.dag_id), ("runs", ti_key.run_id), ("tasks", ti_key.task_id))
        path = "/".join(f"{kind}/{quote(name, safe='')}" for kind, name in parts)
        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        return f"{path}{mapped}/plugin/{self._tab}"


class AkkioLink(BaseOperatorLink):
    """Leads to Akkio's web application."""

    operators = [AkkioTrainOperator, AkkioTrainSensor]  # noqa: RUF012

    @property
    def name(self) -> str:
        """What the button says."""
        return "Akkio"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Return the address of Akkio's web application, which has no public one for a single model.

        :param operator: the task.
        :param ti_key: which of its instances.
        """
        return _AKKIO
