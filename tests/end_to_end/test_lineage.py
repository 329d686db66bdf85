"""What OpenLineage's own provider is told of trainings, in a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dev.airflow_api import AirflowApi
from dev.stack import SANDBOX_KEY, Stack, running_stack

XComs = Callable[[str], Mapping[str, Any]]


@pytest.fixture(scope="module")
def lineage_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where OpenLineage's provider writes its events, one a line."""
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="module")
def stack(lineage_events: Path) -> Iterator[Stack]:
    """An Airflow of its own: with a listener, Airflow takes none of the tasks that end in the triggerer."""
    transport = {"type": "file", "log_file_path": str(lineage_events), "append": True}
    settings = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    with running_stack(dags=Path(__file__).parent / "with_openlineage", settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def run_id(stack: Stack) -> str:
    """A run of all trainings, of which one fails."""
    run_id = stack.api.trigger("lineage")
    assert stack.api.follow("lineage", run_id) == "failed"
    return run_id


@pytest.fixture(scope="module")
def ends(run_id: str, lineage_events: Path) -> Mapping[str, Mapping[str, Any]]:
    """The last event of each task."""
    assert run_id
    events = [json.loads(line) for line in lineage_events.read_text().splitlines()]
    return {event["job"]["name"].removeprefix("lineage."): event for event in events if event["eventType"] != "START"}


@pytest.fixture
def xcoms_of(airflow: AirflowApi, run_id: str) -> XComs:
    """Return the XComs of a task."""
    return lambda task_id: airflow.xcoms("lineage", run_id, task_id)


@pytest.fixture
def namespace(stack: Stack) -> str:
    """What Akkio's datasets and models are named below."""
    return f"akkio://{stack.akkio.removeprefix('http://')}"


def names(datasets: list[dict[str, Any]], namespace: str) -> list[str]:
    assert all(one["namespace"] == namespace for one in datasets)
    return [one["name"] for one in datasets]


@pytest.mark.parametrize(("task_id", "dataset_id"), [("deferred", "wine"), ("blocking", "diabetes")])
def test_a_training_reads_its_dataset_and_makes_a_model(
    task_id: str, dataset_id: str, xcoms_of: XComs, ends: Mapping[str, Any], namespace: str
) -> None:
    event, xcoms = ends[task_id], xcoms_of(task_id)
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


def test_a_training_that_is_not_waited_for_has_no_model(ends: Mapping[str, Any], namespace: str) -> None:
    assert names(ends["submit"]["inputs"], namespace) == ["datasets/breast_cancer"]
    assert ends["submit"]["outputs"] == []


def test_a_sensor_knows_the_model_alone(xcoms_of: XComs, ends: Mapping[str, Any], namespace: str) -> None:
    assert ends["sensor"]["inputs"] == []
    assert names(ends["sensor"]["outputs"], namespace) == [f"models/{xcoms_of('sensor')['model_id']}"]
    training = ends["submit"]["run"]["facets"]["akkio_training"]["akkioTaskId"]
    assert ends["sensor"]["run"]["facets"]["akkio_training"]["akkioTaskId"] == training


def test_a_training_that_fails_says_what_it_was_to_read(ends: Mapping[str, Any], namespace: str) -> None:
    assert ends["failed"]["eventType"] == "FAIL"
    assert names(ends["failed"]["inputs"], namespace) == ["datasets/no such dataset"]
    assert ends["failed"]["outputs"] == []


def test_no_key_is_told(ends: Mapping[str, Any], lineage_events: Path) -> None:
    assert ends
    assert SANDBOX_KEY not in lineage_events.read_text()
