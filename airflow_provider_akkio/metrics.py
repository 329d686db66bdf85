"""The numbers of the conversations with Akkio, through Airflow's own ``Stats``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from airflow_provider_akkio.api.requester import MetricName


class AirflowMetrics:
    """Sends the numbers wherever Airflow sends its own: StatsD, Datadog or OpenTelemetry, or nowhere.

    Airflow sends a length of time in milliseconds, as StatsD has it; Prometheus' StatsD exporter makes seconds of it.

    :param akkio_conn_id: the connection, which the numbers are tagged with.
    """

    def __init__(self, akkio_conn_id: str) -> None:
        self._tags = {"akkio_conn_id": akkio_conn_id}

    def increment(self, metric: MetricName) -> None:
        """Add one."""
        Stats.incr(metric, tags=self._tags)

    def timing(self, metric: MetricName, seconds: float) -> None:
        """Add a length of time."""
        Stats.timing(metric, timedelta(seconds=seconds), tags=self._tags)
