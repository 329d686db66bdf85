"""Who is let in, what is taken, and when a training is one that exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from airflow_provider_akkio.sandbox import Sandbox
from tests.sandbox.calls import Calls


def test_an_accepted_training_is_answered_with_a_task_id(calls: Calls) -> None:
    response = calls.post(dataset_id="wine")
    assert response.status_code == 201
    assert list(response.json()) == ["task_id"]
    assert re.fullmatch(r"[A-Za-z0-9]{20}", response.json()["task_id"])


@pytest.mark.parametrize("key", ["", "wrong", "sandbox-key2", "Sandbox-Key", "sandbox-kéy"])
def test_a_wrong_key_is_refused_everywhere(sandbox: Sandbox, key: str) -> None:
    calls = Calls(sandbox.url, key)
    answers = [calls.post(dataset_id="wine"), calls.get("T1", "status"), calls.get("T1", "result")]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert "key" in answers[0].json()["detail"]


def test_a_missing_key_is_refused_before_the_body_is_judged(sandbox: Sandbox) -> None:
    response = requests.post(f"{sandbox.url}/api/v1/models/train/new", json={}, timeout=10)
    assert response.status_code == 401


def test_a_key_with_a_space_behind_it_is_refused(sandbox: Sandbox) -> None:
    assert Calls(sandbox.url, "sandbox-key ").post(dataset_id="wine").status_code == 401


def test_the_forbidden_key_is_known_and_has_no_right(sandbox: Sandbox) -> None:
    assert Calls(sandbox.url, "forbidden-key").post(dataset_id="wine").status_code == 403


def test_an_unknown_dataset_is_not_found(sandbox: Sandbox, calls: Calls) -> None:
    before = sandbox.submissions
    response = calls.post(dataset_id="nowhere")
    assert (response.status_code, response.json()) == (404, {"detail": "There is no dataset 'nowhere'."})
    assert sandbox.submissions == before


@pytest.mark.parametrize("what", ["status", "result"])
def test_an_unknown_task_is_not_found(calls: Calls, what: str) -> None:
    response = calls.get("nothing", what)
    assert (response.status_code, response.json()) == (404, {"detail": "There is no task 'nothing'."})


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({}, "dataset_id"),
        ({"dataset_id": 7}, "dataset_id"),
        ({"dataset_id": "wine", "duration": 11}, "duration"),
        ({"dataset_id": "wine", "duration": "10"}, "duration"),
        ({"dataset_id": "wine", "duration": True}, "duration"),
        ({"dataset_id": "wine", "predict_fields": "cultivar"}, "predict_fields"),
        ({"dataset_id": "wine", "predict_fields": []}, "predict_fields"),
        ({"dataset_id": "wine", "ignore_fields": "ash"}, "ignore_fields"),
        ({"dataset_id": "wine", "ignore_fields": None}, "ignore_fields"),
        ({"dataset_id": "wine", "force": "yes"}, "force"),
        ({"dataset_id": "wine", "extra_attention": 1}, "extra_attention"),
    ],
)
def test_a_wrong_payload_is_unprocessable_and_says_where(calls: Calls, payload: dict[str, Any], place: str) -> None:
    response = calls.post(**payload)
    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert problem["loc"] == ["body", place]
    assert isinstance(problem["msg"], str)
    assert isinstance(problem["type"], str)


def test_what_is_no_json_is_unprocessable(sandbox: Sandbox) -> None:
    headers = {"X-API-Key": "sandbox-key", "Content-Type": "application/json"}
    response = requests.post(f"{sandbox.url}/api/v1/models/train/new", data="{", headers=headers, timeout=10)
    assert response.status_code == 422


def test_unknown_properties_are_let_through(calls: Calls) -> None:
    assert calls.post(dataset_id="wine", colour="red").status_code == 201


@pytest.mark.parametrize("missing", ["dataset_id", "predict_fields", "duration"])
def test_the_openapi_dialect_requires_what_its_document_does(openapi_calls: Calls, missing: str) -> None:
    payload = {"dataset_id": "wine", "predict_fields": ["cultivar"], "duration": 10}
    assert openapi_calls.post(**payload).status_code == 201
    del payload[missing]
    response = openapi_calls.post(**payload)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", missing]


def test_the_same_parameters_give_the_model_that_exists(sandbox: Sandbox, calls: Calls) -> None:
    first = calls.train(dataset_id="diabetes", predict_fields=["bmi"])
    before = (sandbox.submissions, sandbox.trainings)
    again = calls.train(dataset_id="diabetes", predict_fields=["bmi"], duration=10, force=False)
    assert again == first
    assert (sandbox.submissions, sandbox.trainings) == (before[0] + 1, before[1])


def test_the_order_of_ignored_fields_makes_no_other_training(calls: Calls) -> None:
    first = calls.train(dataset_id="diabetes", ignore_fields=["s1", "s2"])
    assert calls.train(dataset_id="diabetes", ignore_fields=["s2", "s1"])["model_id"] == first["model_id"]


def test_other_parameters_give_another_model(calls: Calls) -> None:
    others: tuple[dict[str, Any], ...] = (
        {},
        {"extra_attention": True},
        {"duration": 60},
        {"ignore_fields": ["Coin"]},
        {"predict_fields": ["Coin"]},
    )
    models = {calls.train(dataset_id="signal", **other)["model_id"] for other in others}
    assert len(models) == len(others)


def test_two_submissions_at_once_share_one_training(sandbox: Sandbox, calls: Calls) -> None:
    before = sandbox.trainings
    payload = {"dataset_id": "signal", "ignore_fields": ["Noise", "Coin"]}
    tasks = [calls.submit(**payload), calls.submit(**payload)]
    for task in tasks:
        calls.wait(task)
    models = [calls.get(task, "result").json()["model_id"] for task in tasks]
    assert tasks[0] != tasks[1]
    assert models[0] == models[1]
    assert sandbox.trainings == before + 1


def test_force_trains_a_new_model_with_the_same_outcome(sandbox: Sandbox, calls: Calls) -> None:
    first = calls.train(dataset_id="diabetes")
    before = sandbox.trainings
    forced = calls.train(dataset_id="diabetes", force=True)
    latest = calls.train(dataset_id="diabetes")
    assert sandbox.trainings == before + 1
    assert forced["model_id"] != first["model_id"]
    assert latest["model_id"] == forced["model_id"]
    assert {**forced, "model_id": first["model_id"]} == first


def test_another_run_of_the_sandbox_gives_the_same_model(calls: Calls) -> None:
    payload = {"dataset_id": "diabetes", "ignore_fields": ["s5"]}
    with Sandbox() as other:
        assert Calls(other.url).train(**payload) == calls.train(**payload)


def test_a_failed_training_is_no_model_that_exists(sandbox: Sandbox, calls: Calls) -> None:
    before = sandbox.trainings
    calls.fail(dataset_id="wine", predict_fields=["Wine"])
    calls.fail(dataset_id="wine", predict_fields=["Wine"])
    assert sandbox.trainings == before + 2
