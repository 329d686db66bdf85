"""Fixtures that all tests share; Airflow's home is a new folder, set before Airflow is imported."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option of ``make screenshots``."""
    parser.addoption("--screenshots", type=Path, help="folder whose pictures the browser tests take anew")


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
