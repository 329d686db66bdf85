"""Bodies that are not JSON, or that contain text or numbers that JSON cannot represent."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.sandbox import Sandbox
from tests.sandbox.api_client import ApiClient

KEY = {"X-API-Key": "sandbox-key", "Content-Type": "application/json"}
BODIES: dict[str, tuple[dict[str, Any], ...]] = {
    "v1/datasets": (
        {"name": "VALUE"},
        {"id": "DATASET", "rows": [{"a": "VALUE"}]},
        {"id": "DATASET", "fields": "VALUE"},
    ),
    "v1/models": ({"id": "M1", "data": [{"VALUE": "VALUE"}]}, {"dataset_id": "VALUE", "predict_fields": ["VALUE"]}),
    "api": ({"flow_key": "VALUE", "data": [{"a": "VALUE"}]},),
    "api/v1/models/train/new": ({"dataset_id": "wine", "predict_fields": ["VALUE"]}, {"duration": "VALUE"}),
    "api/v1/chat-explore/new": (
        {"dataset_id": "wine", "messages": [{"role": "user", "content": "VALUE"}]},
        {"dataset_id": "wine", "messages": [{"role": "VALUE", "VALUE": "VALUE"}]},
    ),
}
NO_JSON = st.one_of(
    st.sampled_from(["\ud800", "a\udfff", math.nan, math.inf, -math.inf]),
    st.lists(st.sampled_from(["\ud800", math.nan]), min_size=1, max_size=3),
)


def post(sandbox: Sandbox, path: str, body: bytes) -> requests.Response:
    return requests.post(f"{sandbox.url}/{path}?api_key=sandbox-key", data=body, headers=KEY, timeout=120)


def fill(template: Any, value: Any) -> Any:
    """Replace every ``VALUE``; only text can be a key."""
    match template:
        case "VALUE":
            return value
        case dict():
            return {
                fill(key, value) if isinstance(value, str) else key: fill(one, value) for key, one in template.items()
            }
        case list():
            return [fill(one, value) for one in template]
    return template


@pytest.fixture(scope="module")
def dataset_id(client: ApiClient) -> str:
    return client.upload([{"a": "x"}])


def assert_unchanged(client: ApiClient, dataset_id: str) -> None:
    assert client.get("datasets", id=dataset_id).json()["rows"] == 1
    for response in (client.get("datasets"), client.get("models"), client.get_v2("models/train/gone/status")):
        assert response.status_code in (200, 404)
        response.content.decode()


@pytest.mark.parametrize("path", BODIES)
@given(value=NO_JSON)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_value_that_json_cannot_represent_is_rejected(
    sandbox: Sandbox, client: ApiClient, dataset_id: str, path: str, value: Any
) -> None:
    for template in BODIES[path]:
        body = fill({key: dataset_id if one == "DATASET" else one for key, one in template.items()}, value)
        response = post(sandbox, path, json.dumps(body).encode())
        assert response.status_code == 422, (body, response.text)
        response.json()
    assert_unchanged(client, dataset_id)


@pytest.mark.parametrize("path", BODIES)
@given(body=st.binary(max_size=30))
@example(body=b'{"name": "\xff"}')
@example(body=b'{"name": "\xed\xa0\x80"}')
@example(body='{"name": "x"}'.encode("utf-16"))
@example(body=b"[" * 100_000)
@example(body=b"1" * 5_000)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_body_of_any_bytes_is_rejected(
    sandbox: Sandbox, client: ApiClient, dataset_id: str, path: str, body: bytes
) -> None:
    response = post(sandbox, path, body)
    assert 400 <= response.status_code < 500
    response.json()
    assert_unchanged(client, dataset_id)


@pytest.mark.parametrize(
    "path", ["v1/datasets?name=%ED%A0%80", "v1/datasets?id=%FF&rows=[NaN]", "v1/models?id=%ED%A0%80"]
)
def test_undecodable_query_causes_no_server_error(sandbox: Sandbox, client: ApiClient, path: str) -> None:
    assert requests.post(f"{sandbox.url}/{path}&api_key=sandbox-key", timeout=120).status_code < 500
    assert client.get("datasets").status_code == 200


def test_text_beyond_ascii_is_accepted(client: ApiClient) -> None:
    dataset_id = client.upload([{"Größe 😀": "\u2028é😀"}], "naïve 😀 \\ud800")
    dataset = client.get("datasets", id=dataset_id).json()
    assert (dataset["name"], dataset["fields"][0]["name"]) == ("naïve 😀 \\ud800", "Größe 😀")
