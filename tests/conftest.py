"""Fixtures that all tests share; Airflow's home is a new folder, set before Airflow is imported."""

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

_HOME = Path(tempfile.mkdtemp(prefix="akkio-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

import pytest

from dev.stack import akkio_connection
from tests.airflow_runs import DagRunner
from tests.scripted import ScriptedAkkio
from tests.tally import Tally
from tests.versions import is_for_this_airflow


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option of ``make screenshots``."""
    parser.addoption("--screenshots", type=Path, help="folder whose pictures the browser tests take anew")
    parser.addoption("--outcome", type=Path, help="file for what became of the tests of this Airflow, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Count what becomes of the tests."""
    config.pluginmanager.register(Tally(config.getoption("outcome")))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests to other versions of Airflow that are not for the one that is installed."""
    others = [item for item in items if not is_for_this_airflow(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


Logged = Callable[[], str]


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Iterator[Logged]:
    """What has been logged so far, each message once: Airflow 2 has handlers of its own, Airflow 3 prints."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    loggers = [logging.getLogger(name) for name in ("airflow.task", "airflow_provider_akkio")]
    for logger in loggers:
        logger.addHandler(handler)

    def all_of_it() -> str:
        recorded = text.getvalue().splitlines()
        printed = "".join(capfd.readouterr()).splitlines()
        return "\n".join([*recorded, *(line for line in printed if not line.endswith(tuple(filter(None, recorded))))])

    yield all_of_it
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def akkio() -> Iterator[ScriptedAkkio]:
    """An Akkio that answers what the test tells it to."""
    with ScriptedAkkio() as server:
        yield server


@pytest.fixture
def connected(akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch) -> ScriptedAkkio:
    """The scripted Akkio, with the connection ``akkio_default`` leading to it."""
    for name, value in akkio_connection(akkio.url, "the-key").items():
        fields = json.loads(value) | {"extra": {"requests_per_second": 1000}}
        monkeypatch.setenv(name, json.dumps(fields))
    return akkio


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """The tables of Airflow, in SQLite: ``airflow dags test`` is safe on it."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture
def run_dag(airflow_database: None) -> DagRunner:
    """Runs a DAG as ``airflow dags test`` does."""
    return DagRunner(_HOME / "dags")
