"""Statistics, field importance and data story in the documented shapes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.sandbox.datasets import LEADS_ID
from airflow_provider_akkio.sandbox.statistics import group_rows
from tests.sandbox.api_client import ApiClient

CLASS_KEYS = [
    "field",
    "field_name",
    "field_type",
    "class",
    "class_name",
    "count",
    "true positives",
    "false positives",
    "false negatives",
    "precision",
    "recall",
    "f1",
    "frequency",
]
"""The keys of one class in ``stats``, in the order in Akkio's Training page."""


@pytest.fixture(scope="module", params=["breast_cancer", "wine", LEADS_ID])
def result(request: pytest.FixtureRequest, client: ApiClient) -> dict[str, Any]:
    """Result of a training on each built-in dataset with classes."""
    return {"dataset": request.param, **client.train(dataset_id=request.param)}


def test_result_has_shape_of_training_page(result: dict[str, Any]) -> None:
    assert list(result) == ["dataset", "status", "model_id", "stats", "field_importance", "data_story"]
    assert result["status"] == "success"
    assert len(result["model_id"]) == 20
    assert result["model_id"].isalnum()
    for position, one in enumerate(result["stats"][0]):
        assert list(one) == CLASS_KEYS
        assert (one["field_type"], one["class"]) == ("category", position)


def test_counts_add_up_to_held_out_rows(sandbox: Sandbox, result: dict[str, Any]) -> None:
    dataset = sandbox.datasets[result["dataset"]]
    (classes,) = result["stats"]
    held_out = sum(one["count"] for one in classes)
    assert held_out == sum(round(rows * 0.2) for rows in Counter(dataset.cells(dataset.fields[-1])).values())
    assert sum(one["true positives"] + one["false positives"] for one in classes) == held_out
    for one in classes:
        assert one["true positives"] + one["false negatives"] == one["count"]
        assert one["frequency"] == pytest.approx(one["count"] / held_out)


def test_scores_follow_from_counts(result: dict[str, Any]) -> None:
    for one in result["stats"][0]:
        precision = one["true positives"] / (one["true positives"] + one["false positives"])
        recall = one["true positives"] / one["count"]
        assert one["precision"] == pytest.approx(precision)
        assert one["recall"] == pytest.approx(recall)
        assert one["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_classes_are_values_of_field_in_order(sandbox: Sandbox, result: dict[str, Any]) -> None:
    dataset = sandbox.datasets[result["dataset"]]
    (classes,) = result["stats"]
    assert [one["class_name"] for one in classes] == sorted(set(dataset.cells(dataset.fields[-1])))
    assert {one["field_name"] for one in classes} == {dataset.fields[-1]}
    assert {one["field"] for one in classes} == {len(dataset.fields) - 1}


def test_importance_has_share_of_each_field(sandbox: Sandbox, result: dict[str, Any]) -> None:
    importance = result["field_importance"]
    assert tuple(importance) == sandbox.datasets[result["dataset"]].fields
    assert min(importance.values()) >= 0
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values())[-1] == 0


def test_number_has_one_entry_with_errors(client: ApiClient, sandbox: Sandbox) -> None:
    result = client.train(dataset_id="diabetes")
    ((one,),) = result["stats"]
    assert list(one) == ["field", "field_name", "field_type", "count", "rmse", "mae", "r2"]
    assert (one["field"], one["field_name"], one["field_type"]) == (10, "progression", "number")
    assert one["count"] == round(0.2 * len(sandbox.datasets["diabetes"].rows))
    assert 0 < one["mae"] <= one["rmse"]
    assert sum(result["field_importance"].values()) == pytest.approx(1)


def test_story_of_number_has_outcomes_high_and_low(client: ApiClient) -> None:
    (story,) = client.train(dataset_id="diabetes")["data_story"]
    assert (story["name"], story["type"]) == ("progression", "number")
    assert [outcome["outcome"] for outcome in story["outcomes"]] == ["high", "low"]
    for outcome in story["outcomes"]:
        assert outcome["bottom_case"] < outcome["avg_case"] < outcome["top_case"]


def test_story_has_frequencies_of_data(client: ApiClient, sandbox: Sandbox) -> None:
    (story,) = client.train(dataset_id="signal")["data_story"]
    share = sandbox.datasets["signal"].cells("Bought").count("yes") / 300
    assert (story["name"], story["type"]) == ("Bought", "category")
    no, yes = story["outcomes"]
    assert list(yes) == ["outcome", "causes", "top_case", "avg_case", "bottom_case"]
    assert yes["outcome"] == "yes"
    assert yes["causes"][0] == {"field": "Signal", "top_value": "yes", "bottom_value": "no"}
    assert no["causes"][0] == {"field": "Signal", "top_value": "no", "bottom_value": "yes"}
    assert (yes["top_case"], yes["avg_case"], yes["bottom_case"]) == (1.0, pytest.approx(share), 0.0)


def test_story_has_five_causes_per_outcome(result: dict[str, Any]) -> None:
    (story,) = result["data_story"]
    assert [len(outcome["causes"]) for outcome in story["outcomes"]] == [5] * len(story["outcomes"])
    assert sum(outcome["avg_case"] for outcome in story["outcomes"]) == pytest.approx(1)


def test_rows_are_grouped_without_rare_and_missing_values() -> None:
    groups = group_rows([*["a"] * 60, *["b"] * 38, "rare", ""], is_numeric=False)
    assert {value: int(rows.sum()) for value, rows in groups.items()} == {"a": 60, "b": 38}


def test_continuous_numbers_are_grouped_by_quartile() -> None:
    groups = group_rows([*map(str, range(100)), ""], is_numeric=True)
    assert {value: int(rows.sum()) for value, rows in groups.items()} == {
        "0 to 24.75": 25,
        "24.75 to 49.5": 25,
        "49.5 to 74.25": 25,
        "74.25 to 99": 25,
    }
