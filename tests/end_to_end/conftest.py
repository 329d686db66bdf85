"""One complete Airflow for the tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.airflow_api import AirflowApi
from dev.stack import EXAMPLES, SANDBOX_KEY, Stack, akkio_connection, running_stack
from tests.scripted import ScriptedAkkio, accepted, status
from tests.statsd import StatsdServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


@pytest.fixture(scope="package")
def statsd() -> Iterator[StatsdServer]:
    """The StatsD server to which Airflow sends its metrics."""
    with StatsdServer() as server:
        yield server


@pytest.fixture(scope="package")
def stack(statsd: StatsdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Airflow with the DAGs of the examples and of this folder, and a sandbox whose trainings take seven seconds.

    The trainings of the connection ``akkio_endless`` never end.
    """
    dags = tmp_path_factory.mktemp("dags")
    for folder in (EXAMPLES, Path(__file__).parent / "dags"):
        shutil.copytree(folder, dags, dirs_exist_ok=True)
    keys = {"akkio_default": SANDBOX_KEY, "akkio_wrong_key": "wrong-key"}
    with ScriptedAkkio() as endless:
        endless.script("new", accepted())
        endless.script("status", status("IN_PROGRESS"))
        settings = statsd.settings | akkio_connection(endless.url, SANDBOX_KEY, "akkio_endless")
        with running_stack(dags=dags, pace=7.0, keys=keys, settings=settings) as running:
            yield running


@pytest.fixture
def airflow(stack: Stack) -> AirflowApi:
    """Airflow's REST API."""
    return stack.api
