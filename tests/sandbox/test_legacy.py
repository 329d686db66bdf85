"""The sandbox's older calls: datasets that grow, and the models that were trained, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_akkio.sandbox import Sandbox
from tests.sandbox.calls import Calls

ANSWERS = ("yes", "no")
ROWS = [{"number": number, "answer": ANSWERS[number % 2], "even": str(number % 2 == 0)} for number in range(80)]


@dataclass(frozen=True)
class V1Api:
    """Calls to one sandbox with one key."""

    url: str
    key: str = "sandbox-key"

    def get(self, what: str, **query: Any) -> requests.Response:
        return requests.get(f"{self.url}/v1/{what}", params={"api_key": self.key, **query}, timeout=10)

    def post(self, what: str, **body: Any) -> requests.Response:
        return requests.post(f"{self.url}/v1/{what}", json={"api_key": self.key, **body}, timeout=30)

    def delete(self, what: str, **body: Any) -> requests.Response:
        return requests.delete(f"{self.url}/v1/{what}", json={"api_key": self.key, **body}, timeout=10)

    def create(self, rows: list[dict[str, Any]], name: str = "made") -> str:
        dataset_id = str(self.post("datasets", name=name).json()["dataset_id"])
        if rows:
            assert self.post("datasets", id=dataset_id, rows=rows).json() == {"status": "success"}
        return dataset_id


@pytest.fixture(scope="session")
def legacy(sandbox: Sandbox) -> V1Api:
    return V1Api(sandbox.url)


@pytest.fixture(scope="session")
def model_id(legacy: V1Api, calls: Calls) -> str:
    dataset_id = legacy.create(ROWS, "parity")
    return str(calls.train(dataset_id=dataset_id, predict_fields=["answer"], ignore_fields=["number"])["model_id"])


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong-key", 401), ("forbidden-key", 403)])
def test_each_call_asks_for_the_key_in_its_own_place(sandbox: Sandbox, key: str, status: int) -> None:
    calls = V1Api(sandbox.url, key)
    answers = [
        calls.get("datasets"),
        calls.get("models"),
        calls.post("datasets", name="x"),
        calls.post("models", id="x", data=[]),
        calls.delete("datasets", id="wine"),
        calls.delete("models", id="x"),
    ]
    assert [answer.status_code for answer in answers] == [status] * 6
    for answer in answers:
        assert set(answer.json()) == {"status"}
        assert not key or key not in answer.text


@pytest.mark.parametrize(("body", "status"), [({}, 401), ({"api_key": 7}, 401), ({"api_key": "forbidden-key"}, 403)])
def test_the_key_is_asked_for_before_the_body_is_judged(sandbox: Sandbox, body: dict[str, Any], status: int) -> None:
    for method, what in (("POST", "datasets"), ("POST", "models"), ("DELETE", "datasets"), ("DELETE", "models")):
        answer = requests.request(method, f"{sandbox.url}/v1/{what}", json={**body, "id": []}, timeout=10)
        assert answer.status_code == status
        assert "key" in answer.json()["status"]


def test_a_delete_without_a_body_has_no_key(sandbox: Sandbox) -> None:
    assert requests.delete(f"{sandbox.url}/v1/models", timeout=10).status_code == 401


def test_a_key_in_the_query_is_none_where_the_body_must_have_it(sandbox: Sandbox) -> None:
    address = f"{sandbox.url}/v1/datasets?api_key=sandbox-key"
    assert requests.post(address, json={"name": "x"}, timeout=10).status_code == 401


def test_what_is_no_json_is_refused_with_a_reason(sandbox: Sandbox) -> None:
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{sandbox.url}/v1/datasets", data="{", headers=headers, timeout=10)
    assert answer.status_code == 422
    assert set(answer.json()) == {"status"}


def test_a_path_or_method_that_there_is_not_is_answered_in_the_same_way(legacy: V1Api) -> None:
    answers = [legacy.get("nothing"), requests.put(f"{legacy.url}/v1/models", timeout=10)]
    assert [answer.status_code for answer in answers] == [404, 405]
    assert [set(answer.json()) for answer in answers] == [{"status"}, {"status"}]


def test_a_dataset_begins_empty_and_takes_its_fields_from_the_first_rows(legacy: V1Api) -> None:
    dataset_id = legacy.create([])
    assert legacy.get("datasets", id=dataset_id).json() == {
        "status": "success",
        "name": "made",
        "rows": 0,
        "fields": [],
    }
    legacy.post("datasets", id=dataset_id, rows=[{"b": 1.5, "a": "x"}, {"a": None}])
    legacy.post("datasets", id=dataset_id, rows=[{"a": "y"}])
    described = legacy.get("datasets", id=dataset_id).json()
    assert (described["rows"], [field["name"] for field in described["fields"]]) == (3, ["b", "a"])
    assert {"id": dataset_id, "name": "made"} in legacy.get("datasets").json()["datasets"]


def test_types_follow_from_the_cells_until_somebody_sets_them(legacy: V1Api) -> None:
    rows = [{"many": number, "few": number % 3, "words": f"w{number}"} for number in range(60)]
    dataset_id = legacy.create(rows)

    def types() -> list[str]:
        return [field["type"] for field in legacy.get("datasets", id=dataset_id).json()["fields"]]

    assert types() == ["number", "category", "string"]
    legacy.post("datasets", id=dataset_id, fields=[{"name": "few", "type": "number"}])
    assert types() == ["number", "number", "string"]
    legacy.post("datasets", id=dataset_id, parse_fields=True)
    assert types() == ["number", "category", "string"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"rows": [{"unknown": 1}]}, "no field 'unknown'"),
        ({"rows": [{"number": {}}]}, "rows.0.number"),
        ({"fields": [{"name": "unknown", "type": "number"}]}, "no field 'unknown'"),
        ({"fields": [{"name": "number", "type": "date"}]}, "fields.0.type"),
        ({"rows": "number"}, "rows"),
        ({"parse_fields": "yes"}, "parse_fields"),
        ({}, "is needed"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(legacy: V1Api, body: dict[str, Any], said: str) -> None:
    dataset_id = legacy.create(ROWS[:2])
    answer = legacy.post("datasets", id=dataset_id, **body)
    assert answer.status_code == 422
    assert said in answer.json()["status"]
    assert legacy.get("datasets", id=dataset_id).json()["rows"] == 2


def test_a_first_row_without_fields_defines_none_and_is_refused(legacy: V1Api) -> None:
    dataset_id = legacy.create([])
    assert legacy.post("datasets", id=dataset_id, rows=[{}]).status_code == 422
    assert legacy.post("datasets", id=dataset_id, rows=[{"a": 1}, {}]).status_code == 200
    described = legacy.get("datasets", id=dataset_id).json()
    assert (described["rows"], [field["name"] for field in described["fields"]]) == (2, ["a"])


def test_of_a_batch_with_one_wrong_row_none_is_added(legacy: V1Api) -> None:
    dataset_id = legacy.create(ROWS[:2])
    legacy.post("datasets", id=dataset_id, rows=[*ROWS, {"unknown": 1}])
    assert legacy.get("datasets", id=dataset_id).json()["rows"] == 2


def test_rows_for_a_dataset_without_an_id_are_refused_and_not_lost(legacy: V1Api) -> None:
    answer = legacy.post("datasets", name="rows without an id", rows=ROWS)
    assert (answer.status_code, "rows" in answer.json()["status"]) == (422, True)
    assert "rows without an id" not in legacy.get("datasets").text


def test_several_datasets_may_have_one_name(legacy: V1Api) -> None:
    first, second = legacy.create([], "twice"), legacy.create([], "twice")
    assert first != second
    assert [len(one) for one in (first, second)] == [20, 20]
    assert [one["id"] for one in legacy.get("datasets").json()["datasets"] if one["name"] == "twice"] == [first, second]


def test_a_thousand_batches_are_added_in_their_order(legacy: V1Api, sandbox: Sandbox) -> None:
    dataset_id = legacy.create([])
    for batch in range(1000):
        legacy.post("datasets", id=dataset_id, rows=[{"batch": batch, "row": row} for row in range(3)])
    assert sandbox.datasets[dataset_id].rows == tuple(
        (str(batch), str(row)) for batch in range(1000) for row in (0, 1, 2)
    )


def test_what_comes_with_it_can_grow_and_be_deleted_like_any_other() -> None:
    with Sandbox() as sandbox:
        legacy = V1Api(sandbox.url)
        before = legacy.get("datasets", id="wine").json()
        legacy.post("datasets", id="wine", rows=[{"ash": 2}])
        assert legacy.get("datasets", id="wine").json() == {**before, "rows": before["rows"] + 1}
        assert legacy.delete("datasets", id="wine").json() == {"status": "success"}
        assert "wine" not in sandbox.datasets
        assert legacy.get("datasets", id="wine").status_code == 404


def test_what_is_not_there_is_not_found(legacy: V1Api) -> None:
    answers = [
        legacy.get("datasets", id="gone"),
        legacy.post("datasets", id="gone", rows=[{"a": 1}]),
        legacy.delete("datasets", id="gone"),
        legacy.post("models", id="gone", data=[]),
        legacy.delete("models", id="gone"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5


def test_a_training_is_shared_until_rows_are_added(legacy: V1Api, calls: Calls) -> None:
    dataset_id = legacy.create(ROWS)
    first = calls.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"]
    assert calls.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"] == first
    legacy.post("datasets", id=dataset_id, rows=ROWS[:1])
    assert calls.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"] != first


def test_types_that_are_set_make_another_training_and_a_change_that_changes_nothing_does_not(
    legacy: V1Api, calls: Calls
) -> None:
    dataset_id = legacy.create(ROWS)

    def train() -> str:
        return str(calls.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"])

    untouched = train()
    legacy.post("datasets", id=dataset_id, rows=[])
    legacy.post("datasets", id=dataset_id, parse_fields=True)
    assert train() == untouched
    legacy.post("datasets", id=dataset_id, fields=[{"name": "even", "type": "string"}])
    typed = train()
    legacy.post("datasets", id=dataset_id, fields=[{"name": "even", "type": "string"}])
    assert typed != untouched
    assert train() == typed


def test_rows_that_come_while_a_training_waits_are_not_in_it(folder: Path) -> None:
    with Sandbox(data=folder) as sandbox:
        calls, legacy = Calls(sandbox.url), V1Api(sandbox.url)
        dataset_id = legacy.create(ROWS)
        slow = calls.submit(dataset_id="slow")
        calls.wait(slow, lambda status: status == "IN_PROGRESS")
        waiting = calls.submit(dataset_id=dataset_id, predict_fields=["answer"])
        legacy.post("datasets", id=dataset_id, rows=ROWS)
        assert calls.status(waiting)["status"] == "SUBMITTED"
        calls.wait(waiting)
        (classes,) = calls.get(waiting, "result").json()["stats"]
    assert sum(one["count"] for one in classes) == 0.2 * len(ROWS)


def test_a_training_has_the_rows_of_the_moment_in_which_it_was_asked_for(legacy: V1Api, calls: Calls) -> None:
    dataset_id = legacy.create(ROWS)
    task_id = calls.submit(dataset_id=dataset_id, predict_fields=["answer"])
    legacy.delete("datasets", id=dataset_id)
    assert calls.wait(task_id)["status"] == "SUCCEEDED"
    assert calls.post(dataset_id=dataset_id).status_code == 404


def test_a_dataset_without_rows_cannot_be_trained_on(legacy: V1Api, calls: Calls) -> None:
    assert "has no rows" in calls.fail(dataset_id=legacy.create([]), predict_fields=["x"])


def test_there_is_a_prediction_for_each_row_in_its_place(legacy: V1Api, model_id: str) -> None:
    said = legacy.post("models", id=model_id, data=[*ROWS, {}, {"even": None, "odd": 1}]).json()["predictions"]
    assert [one["answer"] for one in said[: len(ROWS)]] == [row["answer"] for row in ROWS]
    assert len(said) == len(ROWS) + 2
    for one in said:
        assert set(one) == {"answer", "Probability answer is yes", "Probability answer is no"}
        assert one["Probability answer is yes"] + one["Probability answer is no"] == pytest.approx(1)
    assert legacy.post("models", id=model_id, data=[]).json()["predictions"] == []


def test_a_value_of_another_type_counts_as_missing(legacy: V1Api, calls: Calls) -> None:
    trained = calls.train(dataset_id=legacy.create(ROWS), predict_fields=["answer"], ignore_fields=["even"])
    data = [{"number": value} for value in (None, "many", 10**400, "")]
    said = legacy.post("models", id=trained["model_id"], data=data).json()["predictions"]
    assert said == [said[0]] * 4


@pytest.mark.parametrize(
    ("body", "place"), [({"data": {}}, "data"), ({"data": [[]]}, "data.0"), ({"explain": 1}, "explain")]
)
def test_a_wrong_question_is_refused_and_says_where(
    legacy: V1Api, model_id: str, body: dict[str, Any], place: str
) -> None:
    answer = legacy.post("models", **{"id": model_id, "data": [], **body})
    assert answer.status_code == 422
    assert answer.json()["status"].startswith(f"{place}: ")


def test_predictions_of_what_comes_with_it_beat_guessing(legacy: V1Api, calls: Calls, sandbox: Sandbox) -> None:
    dataset = sandbox.datasets["wine"]
    trained = calls.train(dataset_id="wine")
    rows = [dict(zip(dataset.fields[:-1], row, strict=False)) for row in dataset.rows]
    said = legacy.post("models", id=trained["model_id"], data=rows).json()["predictions"]
    hits = sum(one["cultivar"] == actual for one, actual in zip(said, dataset.cells("cultivar"), strict=True))
    assert hits > 0.9 * len(rows)


def test_an_explanation_tells_what_each_field_did(legacy: V1Api, model_id: str) -> None:
    [said] = legacy.post("models", id=model_id, data=ROWS[:1], explain=True).json()["predictions"]
    assert set(said["explanation"]) == {"even"}
    assert said["explanation"]["even"] > 0


def test_numbers_and_several_fields_are_predicted(legacy: V1Api, calls: Calls) -> None:
    rows = [{"x": number, "double": 2.0 * number, "sign": "low" if number < 100 else "high"} for number in range(200)]
    trained = calls.train(dataset_id=legacy.create(rows), predict_fields=["double", "sign"])
    low, high = legacy.post("models", id=trained["model_id"], data=[{"x": 20}, {"x": 180}]).json()["predictions"]
    assert low["double"] < 150
    assert high["double"] > 250
    assert (low["sign"], high["sign"]) == ("low", "high")


def test_a_deleted_model_is_gone_and_is_trained_anew(legacy: V1Api, calls: Calls) -> None:
    dataset_id = legacy.create(ROWS, "short-lived")
    first = calls.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"]
    assert {"id": first, "name": "short-lived: answer"} in legacy.get("models").json()["models"]
    assert legacy.delete("models", id=first).json() == {"status": "success"}
    assert legacy.post("models", id=first, data=ROWS).status_code == 404
    assert first not in legacy.get("models").text
    assert calls.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"] != first
