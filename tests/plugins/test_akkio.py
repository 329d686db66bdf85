"""The plugin, and the links of the operators."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_akkio import get_provider_info
from airflow_provider_akkio.operators._links import TRAINING_LINKS, AkkioTrainingLink
from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from airflow_provider_akkio.plugins.akkio import AkkioPlugin
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor
from dev.versions import AIRFLOW, Part
from tests.airflow_runs import DagRunner
from tests.versions import lacks, needs

HEAVY = ("fastapi", "starlette", "jinja2.environment", "sqlalchemy.orm", "airflow_provider_akkio.web")


def test_installed_package_registers_plugin() -> None:
    [entry_point] = distribution("airflow-provider-akkio").entry_points.select(group="airflow.plugins")
    assert entry_point.load() is AkkioPlugin


@pytest.mark.parametrize("module", ["plugins.akkio", "operators._links"])
def test_module_imports_neither_pages_nor_operators(module: str) -> None:
    program = (
        "import sys; from airflow.providers.common.compat.sdk import AirflowPlugin, BaseOperatorLink; "
        f"AirflowPlugin, BaseOperatorLink; before = set(sys.modules); import airflow_provider_akkio.{module}; "
        "new = set(sys.modules) - before; "
        f"print([name for name in {HEAVY!r} if name in new], "
        "sorted(name for name in new if name.startswith('airflow_provider_akkio.operators.')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    assert run.stdout.splitlines()[-1] == "[] ['airflow_provider_akkio.operators._links']"


@needs(Part.PAGES)
def test_urls_are_relative_and_not_reserved_by_airflow() -> None:
    plugin = AkkioPlugin()
    assert [view["destination"] for view in plugin.external_views] == ["task_instance", "nav"]
    [app] = plugin.fastapi_apps
    for view in plugin.external_views:
        assert f"/{view['href']}".startswith(f"{app['url_prefix']}/")
    assert not app["url_prefix"].startswith(("/ui", "/api/v2", "/execution", "/auth", "/pluginsv2"))


def test_older_airflow_has_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    if Part.PAGES.is_here:
        monkeypatch.setattr("airflow_provider_akkio.plugins.akkio.AIRFLOW_V_3_1_1_PLUS", False)
    plugin = AkkioPlugin()
    assert (plugin.external_views, plugin.fastapi_apps) == ([], [])


@needs(Part.PAGES)
def test_plugin_without_pages_if_airflow_is_incompatible(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "airflow_provider_akkio.web.app", None)
    plugin = AkkioPlugin()
    assert (plugin.fastapi_apps, plugin.external_views) == ([], [])
    assert "not compatible with this Airflow version" in caplog.text


@needs(Part.PAGES)
def test_links_lead_to_tab_and_to_akkio() -> None:
    assert [link.name for link in TRAINING_LINKS] == ["Akkio training", "Akkio"]


@lacks(Part.PAGES)
def test_older_airflow_has_only_the_link_to_akkio() -> None:
    assert [link.name for link in TRAINING_LINKS] == ["Akkio"]


@pytest.mark.parametrize(("map_index", "mapped"), [(-1, ""), (None, ""), (0, "/mapped/0"), (7, "/mapped/7")])
def test_link_is_relative_url_of_the_tab(map_index: int | None, mapped: str) -> None:
    ti_key = SimpleNamespace(dag_id="d", run_id="manual__1+00:00 x/y", task_id="train", map_index=map_index)
    url = AkkioTrainingLink().get_link(None, ti_key=ti_key)
    assert url == f"dags/d/runs/manual__1+00:00%20x%2Fy/tasks/train{mapped}/plugin/akkio"


@pytest.mark.parametrize("operator", [AkkioTrainOperator, AkkioTrainSensor])
def test_links_belong_to_the_operators_and_are_registered(operator: Any) -> None:
    registered = get_provider_info()["extra-links"]
    assert operator.operator_extra_links
    for link in operator.operator_extra_links:
        assert f"{type(link).__module__}.{type(link).__qualname__}" in registered


BODY = """
class RetrainOperator(AkkioTrainOperator):
    pass

AkkioTrainOperator(task_id="train", dataset_id="D1")
AkkioTrainOperator.partial(task_id="mapped").expand(dataset_id=["D1", "D2"])
RetrainOperator(task_id="subclass", dataset_id="D1")
AkkioTrainSensor(task_id="wait", akkio_task_id="T1")
"""


@pytest.mark.parametrize("task_id", ["train", "mapped", "subclass", "wait"])
def test_serialized_task_has_links(run_dag: DagRunner, task_id: str) -> None:
    from airflow.serialization import serialized_objects

    name = "DagSerialization" if hasattr(serialized_objects, "DagSerialization") else "SerializedDAG"
    serializer = getattr(serialized_objects, name)
    with run_dag.parsed(BODY) as dag:
        task = serializer.from_dict(serializer.to_dict(dag)).get_task(task_id)
    assert set(task.extra_links) == {link.name for link in TRAINING_LINKS}
    if AIRFLOW.major == 2:
        assert task.operator_extra_link_dict["Akkio"].get_link(task, ti_key=None) == "https://app.akkio.com/"
