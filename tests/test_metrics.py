"""What of the numbers reaches a StatsD server, in processes of their own: Airflow reads its settings on import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dev.versions import AIRFLOW
from tests.scripted import ScriptedAkkio, result, status
from tests.statsd import StatsdServer
from tests.versions import since

WAIT = """
import time
from airflow_provider_akkio.api.types import SubmittedTraining
from airflow_provider_akkio.hooks.akkio import AkkioHook
training = SubmittedTraining("T1", time.time() - 100, duration=10)
AkkioHook().poll_until_done(training, timeout=200, poll_interval=0.01)
"""
# By this, which its workers and its triggerer load with the first arguments, Airflow 3.2 learns where its numbers go.
BY_ITSELF = "import airflow.sdk.serde\n" if AIRFLOW.release[:2] == (3, 2) else ""
IN_THE_TRIGGERER = """
from airflow._shared.observability.metrics import stats
from airflow.configuration import conf
from airflow.observability.metrics import stats_utils
stats.initialize(
    factory=stats_utils.get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on")
)
"""


def wait(statsd: StatsdServer, before: str = BY_ITSELF, **settings: str) -> dict[str, list[str]]:
    """Wait for a training in a new process, and return what that sent."""
    environment = os.environ | statsd.settings | settings
    subprocess.run([sys.executable, "-c", before + WAIT], env=environment, check=True, timeout=120)
    return statsd.sent("airflow.akkio.")


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    connected.script("status", status("IN_PROGRESS"), status("SUCCEEDED"))
    connected.script("result", result("M1"))
    return connected


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(BY_ITSELF, id="by itself"),
        pytest.param(IN_THE_TRIGGERER, id="in the triggerer", marks=since("3.3")),
    ],
)
def test_the_numbers_go_where_airflow_sends_its_own(trained: ScriptedAkkio, before: str) -> None:
    with StatsdServer() as statsd:
        sent = wait(statsd, before)
    assert sent["airflow.akkio.polls"] == ["1|c", "1|c"]
    [seconds] = sent["airflow.akkio.training_seconds"]
    value, unit = seconds.split("|")
    assert 100_000 <= float(value) < 220_000
    assert unit == "ms"
    assert len(sent["airflow.akkio.detection_delay_seconds"]) == 1
    assert set(sent) == {f"airflow.akkio.{name}" for name in ("polls", "training_seconds", "detection_delay_seconds")}


def test_the_numbers_are_tagged_with_their_connection(trained: ScriptedAkkio) -> None:
    with StatsdServer() as statsd:
        sent = wait(statsd, AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED="True")
    assert sent["airflow.akkio.polls,akkio_conn_id=akkio_default"] == ["1|c", "1|c"]
