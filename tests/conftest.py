"""Fixtures of all tests. The Airflow settings, with a temporary home, are set before Airflow is imported."""

from __future__ import annotations

import atexit
import io
import json
import logging
import os
import secrets
import shutil
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_akkio.sandbox import Sandbox
    from tests.chaos.gate import Gate

_HOME = Path(tempfile.mkdtemp(prefix="akkio-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
    # SQLite waits for a lock for 5 s by default, which a commit on a busy disk can exceed.
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}?timeout=120",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

import pytest
from hypothesis import HealthCheck, settings

from dev.stack import SANDBOX_KEY, akkio_connection
from tests.airflow_runs import DagRunner, RunTask, call
from tests.scripted import ScriptedAkkio
from tests.versions import is_for_this_airflow

# Both depend on the load of the machine.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of ``make screenshots``."""
    parser.addoption("--screenshots", type=Path, help="folder in which the browser tests update the screenshots")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of other Airflow versions."""
    selected: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        selected[is_for_this_airflow(item)].append(item)
    config.hook.pytest_deselected(items=selected[False])
    items[:] = selected[True]


Logged = Callable[[], str]


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Iterator[Logged]:
    """Return everything logged so far. Airflow 3 prints its log, so printed copies of a record are removed."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    loggers = [logging.getLogger(name) for name in ("airflow.task", "airflow_provider_akkio")]
    for logger in loggers:
        logger.addHandler(handler)

    def read() -> str:
        recorded = text.getvalue().splitlines()
        printed = "".join(capfd.readouterr()).splitlines()
        return "\n".join([*recorded, *(line for line in printed if not line.endswith(tuple(filter(None, recorded))))])

    yield read
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def akkio() -> Iterator[ScriptedAkkio]:
    """An Akkio with scripted responses."""
    with ScriptedAkkio() as server:
        yield server


@pytest.fixture
def connected(akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch) -> ScriptedAkkio:
    """The scripted Akkio as the host of the connection ``akkio_default``."""
    for name, value in akkio_connection(akkio.url, "the-key").items():
        fields = json.loads(value) | {"extra": {"requests_per_second": 1000}}
        monkeypatch.setenv(name, json.dumps(fields))
    return akkio


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's tables in SQLite, which is sufficient for ``airflow dags test``."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture
def run_dag(airflow_database: None) -> DagRunner:
    """Run a DAG as ``airflow dags test`` does."""
    return DagRunner(_HOME / "dags")


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests that need no other; each test creates its own datasets."""
    from airflow_provider_akkio.sandbox import Sandbox

    with Sandbox(key=SANDBOX_KEY) as sandbox:
        yield sandbox


@pytest.fixture
def gate(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The gate to which the connection ``akkio_default`` leads; unknown outcomes are resolved after 20 ms."""
    from airflow_provider_akkio.api import datasets
    from tests.chaos.gate import Gate

    monkeypatch.setattr(datasets, "SETTLING_PAUSES", (0.01, 0.01))
    with Gate(shared_sandbox, "akkio_default") as gate:
        for name, value in akkio_connection(gate.url, SANDBOX_KEY).items():
            monkeypatch.setenv(name, json.dumps(json.loads(value) | {"extra": {"requests_per_second": 1000}}))
        yield gate


@pytest.fixture
def sandbox(gate: Gate) -> Sandbox:
    """The sandbox behind the gate."""
    return gate._sandbox


@pytest.fixture(scope="session")
def model_id(shared_sandbox: Sandbox) -> str:
    """A model that answers yes if the field ``even`` is True."""
    from airflow_provider_akkio.api.parameters import TrainRequest
    from airflow_provider_akkio.hooks.akkio import AkkioHook

    with pytest.MonkeyPatch.context() as patched:
        for name, value in akkio_connection(shared_sandbox.url, SANDBOX_KEY).items():
            patched.setenv(name, value)
        hook = AkkioHook()
        dataset_id = hook.create_dataset("parity")
        rows = [{"even": str(number % 2 == 0), "answer": "no" if number % 2 else "yes"} for number in range(100)]
        hook.append_rows(dataset_id, rows)
        training = hook.submit_training(TrainRequest(dataset_id=dataset_id, predict_fields="answer"))
        hook.poll_until_done(training, poll_interval=0.1)
        return hook.get_training_result(training.akkio_task_id).model_id


@pytest.fixture
def run_task(run_dag: DagRunner) -> RunTask:
    """Run a DAG with one task: an operator name and the parameters."""
    return lambda operator, **parameters: run_dag(call(operator, **parameters))
