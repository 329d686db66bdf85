"""What a trained model is said to be worth, and whether it is true."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.sandbox.datasets import LEADS_ID
from tests.page import CLASS_KEYS
from tests.sandbox.calls import Calls


@pytest.fixture(scope="module", params=["breast_cancer", "wine", LEADS_ID])
def result(request: pytest.FixtureRequest, calls: Calls) -> dict[str, Any]:
    """The result of a training on each dataset of classes that comes with the sandbox."""
    return {"dataset": request.param, **calls.train(dataset_id=request.param)}


def test_the_result_has_the_shape_of_the_training_page(result: dict[str, Any]) -> None:
    assert list(result) == ["dataset", "status", "model_id", "stats", "field_importance", "data_story"]
    assert result["status"] == "success"
    assert len(result["model_id"]) == 20
    assert result["model_id"].isalnum()
    for position, one in enumerate(result["stats"][0]):
        assert list(one) == CLASS_KEYS
        assert (one["field_type"], one["class"]) == ("category", position)


def test_counts_add_up_to_the_held_out_rows(sandbox: Sandbox, result: dict[str, Any]) -> None:
    dataset = sandbox.datasets[result["dataset"]]
    (classes,) = result["stats"]
    held_out = sum(one["count"] for one in classes)
    assert held_out == sum(round(rows * 0.2) for rows in Counter(dataset.cells(dataset.fields[-1])).values())
    assert sum(one["true positives"] + one["false positives"] for one in classes) == held_out
    for one in classes:
        assert one["true positives"] + one["false negatives"] == one["count"]
        assert one["frequency"] == pytest.approx(one["count"] / held_out)


def test_precision_recall_and_f1_follow_from_the_counts(result: dict[str, Any]) -> None:
    for one in result["stats"][0]:
        precision = one["true positives"] / (one["true positives"] + one["false positives"])
        recall = one["true positives"] / one["count"]
        assert one["precision"] == pytest.approx(precision)
        assert one["recall"] == pytest.approx(recall)
        assert one["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_classes_are_those_of_the_data_in_their_order(sandbox: Sandbox, result: dict[str, Any]) -> None:
    dataset = sandbox.datasets[result["dataset"]]
    (classes,) = result["stats"]
    assert [one["class_name"] for one in classes] == sorted(set(dataset.cells(dataset.fields[-1])))
    assert {one["field_name"] for one in classes} == {dataset.fields[-1]}
    assert {one["field"] for one in classes} == {len(dataset.fields) - 1}


def test_importance_is_a_share_of_every_field_and_nothing_of_the_predicted_one(
    sandbox: Sandbox, result: dict[str, Any]
) -> None:
    importance = result["field_importance"]
    assert tuple(importance) == sandbox.datasets[result["dataset"]].fields
    assert min(importance.values()) >= 0
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values())[-1] == 0


@pytest.mark.parametrize(("dataset", "least"), [("breast_cancer", 0.9), ("wine", 0.85)])
def test_the_models_are_good(calls: Calls, dataset: str, least: float) -> None:
    (classes,) = calls.train(dataset_id=dataset)["stats"]
    assert min(one["f1"] for one in classes) > least


def test_what_decides_is_found_and_what_does_not_is_left(calls: Calls) -> None:
    result = calls.train(dataset_id="signal")
    assert [one["f1"] for one in result["stats"][0]] == [1.0, 1.0]
    assert result["field_importance"]["Signal"] > 0.95


def test_statistics_come_from_rows_that_were_not_learned(calls: Calls) -> None:
    """Nothing tells how a coin falls: a model that saw the rows would know by heart, one that did not cannot."""
    (classes,) = calls.train(dataset_id="memory")["stats"]
    hits = sum(one["true positives"] for one in classes) / sum(one["count"] for one in classes)
    assert 0.3 < hits < 0.7


def test_ignored_fields_are_really_ignored(calls: Calls) -> None:
    result = calls.train(dataset_id="signal", ignore_fields=["Signal"])
    assert list(result["field_importance"]) == ["Noise", "Coin", "Bought"]
    assert min(one["f1"] for one in result["stats"][0]) < 0.7
    causes = [cause["field"] for outcome in result["data_story"][0]["outcomes"] for cause in outcome["causes"]]
    assert "Signal" not in causes


def test_extra_attention_finds_more_of_the_rare_cases(calls: Calls) -> None:
    usual, attentive = (
        calls.train(dataset_id=LEADS_ID, predict_fields=["Positive Lead"], extra_attention=attention)["stats"][0][1]
        for attention in (False, True)
    )
    assert usual["class_name"] == "1"
    assert attentive["count"] == usual["count"]
    assert attentive["recall"] > usual["recall"] + 0.1


def test_a_number_is_trained_as_a_regression(calls: Calls, sandbox: Sandbox) -> None:
    result = calls.train(dataset_id="diabetes")
    ((one,),) = result["stats"]
    assert (one["field"], one["field_name"], one["field_type"]) == (10, "progression", "number")
    assert one["count"] == round(0.2 * len(sandbox.datasets["diabetes"].rows))
    assert 0 < one["mae"] <= one["rmse"]
    assert 0.3 < one["r2"] < 1
    assert sum(result["field_importance"].values()) == pytest.approx(1)


def test_the_story_of_a_number_tells_high_from_low(calls: Calls) -> None:
    (story,) = calls.train(dataset_id="diabetes")["data_story"]
    assert (story["name"], story["type"]) == ("progression", "number")
    assert [outcome["outcome"] for outcome in story["outcomes"]] == ["high", "low"]
    for outcome in story["outcomes"]:
        assert outcome["bottom_case"] < outcome["avg_case"] < outcome["top_case"]


def test_the_last_field_is_predicted_if_none_is_named(calls: Calls) -> None:
    named = calls.train(dataset_id=LEADS_ID, predict_fields=["Positive Lead"])
    assert calls.train(dataset_id=LEADS_ID) == named
    assert calls.train(dataset_id=LEADS_ID, predict_fields=None) == named


def test_each_of_two_fields_is_predicted_without_the_other(calls: Calls) -> None:
    result = calls.train(dataset_id="signal", predict_fields=["Bought", "Signal"])
    assert [classes[0]["field_name"] for classes in result["stats"]] == ["Bought", "Signal"]
    assert [story["name"] for story in result["data_story"]] == ["Bought", "Signal"]
    assert result["field_importance"]["Signal"] == result["field_importance"]["Bought"] == 0
    assert sum(result["field_importance"].values()) == pytest.approx(1)


def test_the_story_is_what_the_data_tell(calls: Calls, sandbox: Sandbox) -> None:
    (story,) = calls.train(dataset_id="signal")["data_story"]
    share = sandbox.datasets["signal"].cells("Bought").count("yes") / 300
    assert (story["name"], story["type"]) == ("Bought", "category")
    no, yes = story["outcomes"]
    assert yes["outcome"] == "yes"
    assert yes["causes"][0] == {"field": "Signal", "top_value": "yes", "bottom_value": "no"}
    assert no["causes"][0] == {"field": "Signal", "top_value": "no", "bottom_value": "yes"}
    assert (yes["top_case"], yes["avg_case"], yes["bottom_case"]) == (1.0, pytest.approx(share), 0.0)
    assert list(yes) == ["outcome", "causes", "top_case", "avg_case", "bottom_case"]


def test_a_story_has_at_most_five_causes_per_outcome(result: dict[str, Any]) -> None:
    (story,) = result["data_story"]
    assert [len(outcome["causes"]) for outcome in story["outcomes"]] == [5] * len(story["outcomes"])
    assert sum(outcome["avg_case"] for outcome in story["outcomes"]) == pytest.approx(1)


def test_empty_cells_count_as_missing(calls: Calls) -> None:
    result = calls.train(dataset_id="holes")
    assert sum(one["count"] for one in result["stats"][0]) == 60
    assert result["field_importance"]["Hole"] == 0


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"dataset_id": "wine", "predict_fields": ["Cultivar"]}, "has no field 'Cultivar', named in predict_fields"),
        ({"dataset_id": "wine", "ignore_fields": ["Ash", "Hue"]}, "no field 'Ash', 'Hue', named in ignore_fields"),
        ({"dataset_id": "wine", "ignore_fields": ["cultivar"]}, "both predicted and ignored"),
        ({"dataset_id": "constant"}, "'x' in every row"),
        ({"dataset_id": "tiny"}, "in 9 rows; it takes at least 10"),
        ({"dataset_id": "unique"}, "300 different texts; at most 50"),
        ({"dataset_id": "few"}, "too few of each"),
        ({"dataset_id": "holes", "predict_fields": ["Hole"]}, "a value in 0 rows"),
        ({"dataset_id": "lonely"}, "no field left"),
    ],
)
def test_what_cannot_be_trained_fails_with_a_reason(calls: Calls, payload: dict[str, Any], reason: str) -> None:
    assert reason in calls.fail(**payload)


def test_a_failed_training_has_no_result(calls: Calls) -> None:
    task_id = calls.submit(dataset_id="constant")
    calls.wait(task_id)
    response = calls.get(task_id, "result")
    assert response.status_code == 404
    assert "FAILED" in response.json()["detail"]
