"""What Airflow sees of the package."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import airflow
import jsonschema

import airflow_provider_akkio
from airflow_provider_akkio import __version__, get_provider_info
from dev.versions import Part

HEAVY = (
    "requests",
    "aiohttp",
    "urllib3",
    "sqlalchemy",
    "tenacity",
    "sklearn",
    "fastapi",
    "airflow.triggers",
    "asgiref",
)


def test_the_provider_info_is_of_airflows_own_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_the_installed_package_offers_it() -> None:
    installed = distribution("airflow-provider-akkio")
    [entry_point] = installed.entry_points.select(group="apache_airflow_provider")
    assert entry_point.load()() == get_provider_info()
    assert installed.version == __version__
    assert installed.metadata["License-Expression"] == "Apache-2.0"
    assert installed.metadata["Requires-Python"] == ">=3.11"


def test_airflows_command_line_shows_it() -> None:
    shown = {
        "list": "airflow-provider-akkio",
        "get airflow-provider-akkio": "airflow-provider-akkio",
        "hooks": "airflow_provider_akkio.hooks.akkio.AkkioHook",
        "triggers": "airflow_provider_akkio.triggers.akkio",
    }
    airflow = Path(sys.executable).parent / "airflow"
    programs = [
        subprocess.Popen(
            [airflow, "providers", *command.split(), "--output", "json"], stdout=subprocess.PIPE, text=True
        )
        for command in shown
    ]
    printed = [program.communicate(timeout=120)[0] for program in programs]
    assert [text for text, expected in zip(printed, shown.values(), strict=True) if expected not in text] == []


def test_every_module_that_it_names_is_there() -> None:
    info = get_provider_info()
    modules = [
        name
        for part in ("hooks", "operators", "sensors", "triggers")
        for entry in info[part]
        for name in entry["python-modules"]
    ]
    assert len(modules) == 5
    for module in modules:
        importlib.import_module(module)


def test_a_dag_file_loads_no_http_library_and_no_trigger() -> None:
    program = (
        "import sys; from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator; "
        "before = set(sys.modules); "
        "import airflow_provider_akkio.operators.akkio, airflow_provider_akkio.sensors.akkio; "
        "airflow_provider_akkio.get_provider_info(); "
        f"print([one for one in set(sys.modules) - before if one.startswith({HEAVY!r})])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_module_says_what_it_is_for() -> None:
    names = [name for _, name, _ in pkgutil.walk_packages(airflow_provider_akkio.__path__, "airflow_provider_akkio.")]
    undescribed = [
        name
        for name in names
        if not name.endswith("__main__")
        and (Part.PAGES.is_here or not name.startswith("airflow_provider_akkio.web"))
        and not importlib.import_module(name).__doc__
    ]
    assert undescribed == []
