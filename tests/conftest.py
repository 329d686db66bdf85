"""Fixtures that all tests share; Airflow's home is a new folder, set before Airflow is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

_HOME = tempfile.mkdtemp(prefix="akkio-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": f"{_HOME}/dags",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
}

import pytest

from tests.scripted import ScriptedAkkio


@pytest.fixture
def akkio() -> Iterator[ScriptedAkkio]:
    """An Akkio that answers what the test tells it to."""
    with ScriptedAkkio() as server:
        yield server
