"""Metrics of the hook at a StatsD server. Each test waits in a new process, because Airflow reads its settings once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dev.versions import AIRFLOW
from tests.scripted import ScriptedAkkio, result, status
from tests.statsd import StatsdServer
from tests.versions import since

POLL_UNTIL_DONE = """
import time
from airflow_provider_akkio.api.types import AkkioTask
from airflow_provider_akkio.hooks.akkio import AkkioHook
training = AkkioTask("T1", time.time() - 100, duration=10)
AkkioHook().poll_until_done(training, timeout=200, poll_interval=0.01)
"""
# Airflow 3.2 configures its metrics with this import, which its workers and its triggerer do for the first arguments.
WORKER = "import airflow.sdk.serde\n" if AIRFLOW.release[:2] == (3, 2) else ""
TRIGGERER = """
from airflow._shared.observability.metrics import stats
from airflow.configuration import conf
from airflow.observability.metrics import stats_utils
stats.initialize(
    factory=stats_utils.get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on")
)
"""


def poll_until_done(setup: str = WORKER, **settings: str) -> dict[str, list[str]]:
    """Poll a training in a new process, and return the metrics of that process."""
    with StatsdServer() as statsd:
        environment = os.environ | statsd.settings | settings
        subprocess.run([sys.executable, "-c", setup + POLL_UNTIL_DONE], env=environment, check=True, timeout=600)
    return statsd.sent("airflow.akkio.")


@pytest.fixture(autouse=True)
def _trained(connected: ScriptedAkkio) -> None:
    connected.script("status", status("IN_PROGRESS"), status("SUCCEEDED"))
    connected.script("result", result("M1"))


@pytest.mark.parametrize(
    "setup", [pytest.param(WORKER, id="worker"), pytest.param(TRIGGERER, id="triggerer", marks=since("3.3"))]
)
def test_hook_sends_metrics_to_airflows_statsd_server(setup: str) -> None:
    sent = poll_until_done(setup)
    assert set(sent) == {f"airflow.akkio.{name}" for name in ("polls", "training_seconds", "detection_delay_seconds")}
    assert sent["airflow.akkio.polls"] == ["1|c", "1|c"]
    [seconds] = sent["airflow.akkio.training_seconds"]
    value, unit = seconds.split("|")
    assert 100_000 <= float(value) < 220_000
    assert unit == "ms"
    assert len(sent["airflow.akkio.detection_delay_seconds"]) == 1


def test_metrics_are_tagged_with_the_connection_id() -> None:
    sent = poll_until_done(AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED="True")
    assert sent["airflow.akkio.polls,akkio_conn_id=akkio_default"] == ["1|c", "1|c"]
