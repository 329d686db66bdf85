"""The numbers of the conversations with Akkio, through Airflow's own ``Stats``."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from airflow_provider_akkio.api.meter import Metric


class AirflowMeter:
    """Sends the numbers wherever Airflow sends its own: StatsD, Datadog or OpenTelemetry, or nowhere.

    Airflow sends a length of time in milliseconds, as StatsD has it; Prometheus' StatsD exporter makes seconds of it.

    :param akkio_conn_id: the connection, which the numbers are tagged with.
    """

    def __init__(self, akkio_conn_id: str) -> None:
        self._tags = {"akkio_conn_id": akkio_conn_id}
        _initialize()

    def count(self, metric: Metric) -> None:
        """Add one."""
        Stats.incr(metric, tags=self._tags)

    def time(self, metric: Metric, seconds: float) -> None:
        """Add a length of time."""
        Stats.timing(metric, timedelta(seconds=seconds), tags=self._tags)


@cache
def _initialize() -> None:
    """Say where to send, as Airflow's settings have it.

    From Airflow 3.2 on, its core and its task SDK each send for themselves, and the triggerer prepares the core's part
    alone: what a provider sends from there would be lost.
    """
    try:
        from airflow.sdk.configuration import conf
        from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
    except ImportError:
        return
    has_names = "export_legacy_names" in signature(Stats.initialize).parameters
    names = {"export_legacy_names": conf.getboolean("metrics", "legacy_names_on")} if has_names else {}
    factory = get_stats_factory(*([Stats] if signature(get_stats_factory).parameters else []))
    Stats.initialize(factory=factory, **names)
