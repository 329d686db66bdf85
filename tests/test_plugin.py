"""What Airflow finds of the pages."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution

import pytest

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from airflow_provider_akkio.plugins.akkio import AkkioPlugin
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor
from dev.versions import Part
from tests.versions import lacks, needs

HEAVY = ("fastapi", "starlette", "jinja2.environment", "sqlalchemy.orm", "airflow_provider_akkio.web")


def test_the_installed_package_offers_the_plugin() -> None:
    [entry_point] = distribution("airflow-provider-akkio").entry_points.select(group="airflow.plugins")
    assert entry_point.load() is AkkioPlugin


def test_it_is_the_bare_class_in_processes_that_serve_no_page() -> None:
    program = (
        "import sys; from airflow.providers.common.compat.sdk import AirflowPlugin; AirflowPlugin; "
        "before = set(sys.modules); import airflow_provider_akkio.plugins.akkio as module; "
        "module.AkkioPlugin().operator_extra_links; "
        f"print([name for name in {HEAVY!r} if name in set(sys.modules) - before], "
        "[name for name in sys.modules if name.startswith('airflow_provider_akkio.') and name not in before])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    ours = ["airflow_provider_akkio.plugins", "airflow_provider_akkio.plugins.akkio"]
    assert printed.stdout.strip().endswith(f"[] {ours}")


def test_its_links_are_those_of_the_tasks_that_wait_for_a_training() -> None:
    for link in AkkioPlugin().operator_extra_links:
        names = [(one.__module__, one.__name__) for one in link.operators]
        assert names == [(one.__module__, one.__name__) for one in (AkkioTrainOperator, AkkioTrainSensor)]


@needs(Part.PAGES)
def test_its_addresses_are_relative_and_none_that_airflow_reserves() -> None:
    plugin = AkkioPlugin()
    assert [view["destination"] for view in plugin.external_views] == ["task_instance", "nav"]
    [app] = plugin.fastapi_apps
    for view in plugin.external_views:
        assert f"/{view['href']}".startswith(f"{app['url_prefix']}/")
    assert not app["url_prefix"].startswith(("/ui", "/api/v2", "/execution", "/auth", "/pluginsv2"))


@needs(Part.PAGES)
@pytest.mark.parametrize(
    ("version", "has_pages"), [("2.11.2", False), ("3.1.0", False), ("3.1.1", True), ("3.3.2", True)]
)
def test_it_has_pages_where_airflow_can_tell_who_looks(
    monkeypatch: pytest.MonkeyPatch, version: str, has_pages: bool
) -> None:
    monkeypatch.setattr("airflow.__version__", version)
    plugin = AkkioPlugin()
    assert (bool(plugin.external_views), bool(plugin.fastapi_apps)) == (has_pages, has_pages)
    names = ["Akkio training", "Akkio"] if has_pages else ["Akkio"]
    assert [link.name for link in plugin.operator_extra_links] == names


@lacks(Part.PAGES)
def test_an_older_airflow_has_the_link_to_akkio_alone() -> None:
    plugin = AkkioPlugin()
    assert (plugin.external_views, plugin.fastapi_apps) == ([], [])
    assert [link.name for link in plugin.operator_extra_links] == ["Akkio"]


@needs(Part.PAGES)
def test_an_airflow_in_which_the_pages_cannot_be_made_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "airflow_provider_akkio.web.app", None)
    plugin = AkkioPlugin()
    assert (plugin.fastapi_apps, plugin.external_views) == ([], [])
    assert "The pages of airflow-provider-akkio cannot be served in this Airflow." in caplog.text
