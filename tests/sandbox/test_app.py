"""HTTP API: authentication, validation and error responses of the v2 and v1 calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_akkio.sandbox import Sandbox
from tests.sandbox.api_client import ApiClient

ROWS = [{"number": number, "answer": ("yes", "no")[number % 2]} for number in range(80)]


@pytest.fixture(scope="module")
def openapi_client() -> Iterator[ApiClient]:
    """Client of a sandbox in the dialect of the OpenAPI document."""
    with Sandbox(dialect="openapi") as sandbox:
        yield ApiClient(sandbox.url)


@pytest.fixture(scope="module")
def dataset_id(client: ApiClient) -> str:
    return client.upload(ROWS[:2])


def test_submission_returns_task_id(client: ApiClient) -> None:
    response = client.post_training(dataset_id="wine", colour="unknown properties are accepted")
    assert response.status_code == 201
    assert list(response.json()) == ["task_id"]
    assert re.fullmatch(r"[A-Za-z0-9]{20}", response.json()["task_id"])


def test_page_dialect_returns_location_below_site(client: ApiClient) -> None:
    task_id = client.submit(dataset_id="wine")
    assert client.poll(task_id)["metadata"]["location"] == f"/api/v1/models/train/{task_id}/result"


def test_openapi_dialect_starts_pending_and_returns_location_below_api_root(openapi_client: ApiClient) -> None:
    payload = {"dataset_id": "wine", "predict_fields": ["cultivar"], "duration": 10, "force": True}
    # The earlier trainings occupy the only worker.
    *_, task_id = (openapi_client.submit(**payload) for _ in range(4))
    assert openapi_client.status(task_id) == {"status": "PENDING", "metadata": {"type": "PENDING"}}
    assert openapi_client.poll(task_id)["metadata"]["location"] == f"/models/train/{task_id}/result"


@pytest.mark.parametrize("missing", ["dataset_id", "predict_fields", "duration"])
def test_openapi_dialect_requires_property(openapi_client: ApiClient, missing: str) -> None:
    payload = {"dataset_id": "wine", "predict_fields": ["cultivar"], "duration": 10}
    del payload[missing]
    response = openapi_client.post_training(**payload)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", missing]


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("", 401),
        ("wrong", 401),
        ("sandbox-key2", 401),
        ("Sandbox-Key", 401),
        ("sandbox-kéy", 401),
        ("sandbox-key ", 401),
        ("forbidden-key", 403),
    ],
)
def test_v2_call_with_wrong_key_is_rejected(sandbox: Sandbox, key: str, status: int) -> None:
    client = ApiClient(sandbox.url, key)
    # The first body is invalid, too: the key is checked first.
    responses = [client.post_training(), client.get_training("T1", "status"), client.get_training("T1", "result")]
    assert [response.status_code for response in responses] == [status] * 3
    assert "key" in responses[0].json()["detail"]


def test_v2_call_without_key_is_rejected(sandbox: Sandbox) -> None:
    assert requests.post(f"{sandbox.url}/api/v1/models/train/new", json={}, timeout=120).status_code == 401


@pytest.mark.parametrize(
    ("payload", "property_name"),
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
def test_invalid_submission_returns_422_with_location(
    client: ApiClient, payload: dict[str, Any], property_name: str
) -> None:
    response = client.post_training(**payload)
    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert problem["loc"] == ["body", property_name]
    assert isinstance(problem["msg"], str)
    assert isinstance(problem["type"], str)


def test_unknown_dataset_returns_404(sandbox: Sandbox, client: ApiClient) -> None:
    before = sandbox.submissions
    response = client.post_training(dataset_id="nowhere")
    assert (response.status_code, response.json()) == (404, {"detail": "There is no dataset 'nowhere'."})
    assert sandbox.submissions == before


@pytest.mark.parametrize("part", ["status", "result"])
def test_unknown_task_returns_404(client: ApiClient, part: str) -> None:
    response = client.get_training("nothing", part)
    assert (response.status_code, response.json()) == (404, {"detail": "There is no task 'nothing'."})


@pytest.mark.parametrize("path", ["api/v1/models/train/new", "v1/datasets", "v1/models"])
def test_malformed_json_returns_422(sandbox: Sandbox, path: str) -> None:
    headers = {"X-API-Key": "sandbox-key", "Content-Type": "application/json"}
    response = requests.post(f"{sandbox.url}/{path}", data="{", headers=headers, timeout=120)
    assert response.status_code == 422
    assert set(response.json()) == {"status" if path.startswith("v1") else "detail"}


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong-key", 401), (7, 401), ("forbidden-key", 403)])
def test_v1_call_with_wrong_key_is_rejected(sandbox: Sandbox, key: Any, status: int) -> None:
    client = ApiClient(sandbox.url, key)
    responses = [
        client.get("datasets"),
        client.get("models"),
        client.post("datasets", name="x"),
        client.post("models", id="x", data=[]),
        client.delete("datasets", id="wine"),
        client.delete("models", id="x"),
        # Invalid bodies: the key is checked first.
        *(call(resource, id=[]) for call in (client.post, client.delete) for resource in ("datasets", "models")),
    ]
    assert [response.status_code for response in responses] == [status] * len(responses)
    for response in responses:
        assert set(response.json()) == {"status"}
        assert "API key" in response.json()["status"]


def test_v1_call_without_key_in_body_is_rejected(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/v1/datasets?api_key=sandbox-key"
    assert requests.post(url, json={"name": "x"}, timeout=120).status_code == 401
    assert requests.post(url, json=["api_key", "sandbox-key"], timeout=120).status_code == 401
    assert requests.delete(url, timeout=120).status_code == 401


def test_unknown_v1_path_and_method_return_status_text(client: ApiClient) -> None:
    responses = [client.get("nothing"), requests.put(f"{client.url}/v1/models", timeout=120)]
    assert [response.status_code for response in responses] == [404, 405]
    assert [set(response.json()) for response in responses] == [{"status"}, {"status"}]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"rows": [{"unknown": 1}]}, "no field 'unknown'"),
        ({"rows": [{"number": 1}, {"number": 2, "unknown": 1}]}, "no field 'unknown'"),
        ({"rows": [{"number": {}}]}, "rows.0.number"),
        ({"fields": [{"name": "unknown", "type": "number"}]}, "no field 'unknown'"),
        ({"fields": [{"name": "number", "type": "date"}]}, "fields.0.type"),
        ({"rows": "number"}, "rows"),
        ({"parse_fields": "yes"}, "parse_fields"),
        ({}, "is required"),
    ],
)
def test_invalid_upload_returns_422_and_adds_no_row(
    client: ApiClient, dataset_id: str, body: dict[str, Any], reason: str
) -> None:
    response = client.post("datasets", id=dataset_id, **body)
    assert response.status_code == 422
    assert reason in response.json()["status"]
    assert client.get("datasets", id=dataset_id).json()["rows"] == 2


@pytest.mark.parametrize("body", [{"rows": ROWS}, {"fields": []}, {"name": ""}])
def test_change_without_dataset_id_is_rejected(client: ApiClient, body: dict[str, Any]) -> None:
    before = client.get("datasets").json()
    response = client.post("datasets", **{"name": "rows without an ID", **body})
    assert response.status_code == 422
    assert client.get("datasets").json() == before


@pytest.mark.parametrize(
    ("body", "property_name"), [({"data": {}}, "data"), ({"data": [[]]}, "data.0"), ({"explain": 1}, "explain")]
)
def test_invalid_prediction_request_returns_422(client: ApiClient, body: dict[str, Any], property_name: str) -> None:
    response = client.post("models", **{"id": "M1", "data": [], **body})
    assert response.status_code == 422
    assert response.json()["status"].startswith(f"{property_name}: ")


def test_unknown_v1_id_returns_404(client: ApiClient) -> None:
    responses = [
        client.get("datasets", id="gone"),
        client.post("datasets", id="gone", rows=[{"a": 1}]),
        client.post("datasets", id="gone", fields=[{"name": "a", "type": "number"}]),
        client.delete("datasets", id="gone"),
        client.post("models", id="gone", data=[]),
        client.delete("models", id="gone"),
    ]
    assert [response.status_code for response in responses] == [404] * 6
    assert all("gone" in response.json()["status"] for response in responses)
