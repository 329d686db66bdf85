"""What no schema of Compose files can tell about ``docker-compose.yaml``."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from dev.stack import COMPONENTS, PROJECT

TEXT = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
AIRFLOW = {name for name, service in SERVICES.items() if service["image"].startswith("airflow-with-akkio:")}


def test_all_parts_are_there() -> None:
    assert set(SERVICES) == {
        "postgres",
        "redis",
        "migration",
        "pool",
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer-1",
        "triggerer-2",
        "worker",
        "sandbox",
    }
    assert {str(service.get("command")) for service in SERVICES.values()} >= set(COMPONENTS) | {"celery worker"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_all_of_airflow_comes_from_one_block() -> None:
    common = yaml.safe_load(TEXT)["x-airflow"]
    assert set(SERVICES) - {"postgres", "redis"} == AIRFLOW
    for name in AIRFLOW - {"sandbox"}:
        own = {"DUMB_INIT_SETSID": "0"} if name == "worker" else {}
        assert SERVICES[name]["environment"] == common["environment"] | own
        assert SERVICES[name]["build"] == common["build"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migration", "pool"}))
def test_everything_that_goes_on_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_no_secret_is_fixed() -> None:
    secret = re.compile(r"^\s*\w*(PASSWORD|KEY|SECRET)\w*: (.*)$", re.MULTILINE)
    values = [value for _, value in secret.findall(TEXT)]
    assert len(values) >= 5
    assert [value for value in values if not re.fullmatch(r"\$\{\w+:\?set \w+\}", value)] == []
    assert re.findall(r"://[^$\s]*:[^$\s@]+@", TEXT) == []


def test_every_variable_is_named_at_the_top() -> None:
    head = TEXT.partition("x-airflow:")[0]
    named = set(re.findall(r"(\w+)=…", head))
    assert named == set(re.findall(r"\$\{(\w+):\?", TEXT))


def test_every_image_has_a_version() -> None:
    images = [*re.findall(r"^\s+image: (\S+)$", TEXT, re.MULTILINE), *re.findall(r"FROM (\S+)", TEXT)]
    assert len(images) == 4
    assert [image for image in images if not re.search(r":\d+(\.\d+)+", image)] == []


def test_the_image_holds_the_airflow_that_is_tested() -> None:
    pinned = re.search(r"^apache-airflow==(\S+)$", (PROJECT / "requirements-dev.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert set(re.findall(r"airflow(?:-with-akkio)?[:=]=?(\d+\.\d+\.\d+)", TEXT)) == {pinned.group(1)}
