"""The provider info, Airflow's view of the package, and the cost of importing it in a DAG file."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_akkio import __version__, get_provider_info

HEAVY_MODULES = (
    "requests",
    "aiohttp",
    "urllib3",
    "sqlalchemy",
    "tenacity",
    "sklearn",
    "fastapi",
    "pyarrow",
    "numpy",
    "airflow.triggers",
    "airflow.providers.common.sql",
    "psycopg",
    "asgiref",
)


def test_provider_info_matches_airflows_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_installed_package_has_the_provider_entry_point() -> None:
    installed = distribution("airflow-provider-akkio")
    [entry_point] = installed.entry_points.select(group="apache_airflow_provider")
    assert entry_point.load()() == get_provider_info()
    assert installed.version == __version__
    assert installed.metadata["License-Expression"] == "Apache-2.0"
    assert installed.metadata["Requires-Python"] == ">=3.11"


def test_airflow_cli_lists_the_provider() -> None:
    expected = {
        "list": "airflow-provider-akkio",
        "get airflow-provider-akkio": "airflow-provider-akkio",
        "hooks": "airflow_provider_akkio.hooks.akkio.AkkioHook",
        "triggers": "airflow_provider_akkio.triggers.akkio",
    }
    program = Path(sys.executable).parent / "airflow"
    processes = {
        command: subprocess.Popen(
            [program, "providers", *command.split(), "--output", "json"], stdout=subprocess.PIPE, text=True
        )
        for command in expected
    }
    outputs = {command: process.communicate(timeout=600)[0] for command, process in processes.items()}
    assert [command for command, text in expected.items() if text not in outputs[command]] == []


def test_every_module_in_the_provider_info_can_be_imported() -> None:
    info = get_provider_info()
    modules = [
        name
        for part in ("hooks", "operators", "sensors", "triggers")
        for entry in info[part]
        for name in entry["python-modules"]
    ]
    modules += [entry["python-module"] for entry in info["transfers"]]
    assert len(modules) == 6
    for module in modules:
        importlib.import_module(module)


@pytest.mark.parametrize(
    "module", ["operators.akkio", "sensors.akkio", "transfers.sql_to_akkio", "transfers.sql_predictions"]
)
def test_importing_an_operator_loads_no_heavy_module(module: str) -> None:
    program = (
        "import sys; from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator; "
        "before = set(sys.modules); "
        f"import airflow_provider_akkio.{module}; airflow_provider_akkio.get_provider_info(); "
        f"print([name for name in set(sys.modules) - before if name.startswith({HEAVY_MODULES!r})])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.splitlines()[-1] == "[]"
