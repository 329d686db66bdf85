"""The events that OpenLineage's provider emits for trainings in a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dev.airflow_api import AirflowApi
from dev.processes import wait_until
from dev.stack import SANDBOX_KEY, Stack, running_stack

TASKS = {"submit", "sensor", "deferred", "blocking", "failed"}

XComs = Callable[[str], Mapping[str, Any]]
Events = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def event_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File to which OpenLineage's provider writes its events, one per line."""
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="module")
def stack(event_file: Path) -> Iterator[Stack]:
    """An Airflow with OpenLineage's listener."""
    transport = {"type": "file", "log_file_path": str(event_file), "append": True}
    settings = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    with running_stack(dags=Path(__file__).parent / "with_openlineage", settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def run_id(stack: Stack) -> str:
    """A run in which one training fails."""
    run_id = stack.api.trigger("lineage")
    assert stack.api.follow("lineage", run_id) == "failed"
    return run_id


@pytest.fixture(scope="module")
def events(run_id: str, event_file: Path) -> Events:
    """The last event of each task, which its worker writes after the state."""
    assert run_id
    last: dict[str, Mapping[str, Any]] = {}

    def have_all_ended() -> bool:
        for line in event_file.read_text().splitlines(keepends=True):
            if line.endswith("\n") and (event := json.loads(line))["eventType"] != "START":
                last[event["job"]["name"].removeprefix("lineage.")] = event
        return {name for name, event in last.items() if event["eventType"] in ("COMPLETE", "FAIL")} >= TASKS

    wait_until(have_all_ended, "the last event of each task", 300)
    return last


@pytest.fixture
def xcoms_of(airflow: AirflowApi, run_id: str) -> XComs:
    """Return a function that returns the XComs of a task."""
    return lambda task_id: airflow.xcoms("lineage", run_id, task_id)


@pytest.fixture
def namespace(stack: Stack) -> str:
    """Namespace of the datasets and models."""
    return f"akkio://{stack.akkio.removeprefix('http://')}"


def names(datasets: list[dict[str, Any]], namespace: str) -> list[str]:
    assert all(dataset["namespace"] == namespace for dataset in datasets)
    return [dataset["name"] for dataset in datasets]


@pytest.mark.parametrize(("task_id", "dataset_id"), [("deferred", "wine"), ("blocking", "diabetes")])
def test_training_has_dataset_as_input_and_model_as_output(
    task_id: str, dataset_id: str, xcoms_of: XComs, events: Events, namespace: str
) -> None:
    event, xcoms = events[task_id], xcoms_of(task_id)
    assert event["eventType"] == "COMPLETE"
    assert names(event["inputs"], namespace) == [f"datasets/{dataset_id}"]
    assert names(event["outputs"], namespace) == [f"models/{xcoms['model_id']}"]
    assert event["run"]["facets"]["akkio_training"]["akkioTaskId"] == xcoms["akkio_task_id"]

    [model] = event["outputs"]
    facet = model["facets"]["akkio_model"]
    assert facet["akkioTaskId"] == xcoms["akkio_task_id"]
    assert facet["stats"] == xcoms["stats"]
    assert facet["fieldImportance"] == xcoms["field_importance"]
    assert facet["metric"] == ("f1" if dataset_id == "wine" else "r2")
    assert 0 < facet["value"] <= 1
    assert facet["fieldName"] == xcoms["stats"][0][0]["field_name"]


def test_training_without_wait_has_no_output(events: Events, namespace: str) -> None:
    assert names(events["submit"]["inputs"], namespace) == ["datasets/breast_cancer"]
    assert events["submit"]["outputs"] == []


def test_sensor_has_only_the_model(xcoms_of: XComs, events: Events, namespace: str) -> None:
    assert events["sensor"]["inputs"] == []
    assert names(events["sensor"]["outputs"], namespace) == [f"models/{xcoms_of('sensor')['model_id']}"]
    training = events["submit"]["run"]["facets"]["akkio_training"]["akkioTaskId"]
    assert events["sensor"]["run"]["facets"]["akkio_training"]["akkioTaskId"] == training


def test_failed_training_has_dataset_as_input(events: Events, namespace: str) -> None:
    assert events["failed"]["eventType"] == "FAIL"
    assert names(events["failed"]["inputs"], namespace) == ["datasets/no such dataset"]
    assert events["failed"]["outputs"] == []


def test_events_do_not_contain_the_key(events: Events, event_file: Path) -> None:
    assert events
    assert SANDBOX_KEY not in event_file.read_text()
