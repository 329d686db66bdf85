"""Deployments at ``/api``."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.sandbox.api_client import ApiClient

ROWS = [{"word": f"w{number % 2}", "size": f"{number}.50", "answer": ("yes", "no")[number % 2]} for number in range(80)]
DATA = [{"word": "w0", "size": "1.50", "unknown": 1}, {"word": "unseen", "size": "many"}, {}]


@pytest.fixture(scope="module")
def model_id(client: ApiClient) -> str:
    dataset_id = client.upload(ROWS, "deployed", parse=True)
    return str(client.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"])


def deploy(client: ApiClient, method: str = "POST", **parameters: Any) -> requests.Response:
    parameters = {"api_key": client.key, **parameters}
    if method == "POST":
        return requests.post(f"{client.url}/api", json=parameters, timeout=120)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return requests.get(f"{client.url}/api", params=texts, timeout=120)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("parameter", ["project_key", "flow_key"])
def test_deployment_returns_list_of_predictions(client: ApiClient, model_id: str, method: str, parameter: str) -> None:
    response = deploy(client, method, **{parameter: f"{model_id}/1"}, data=DATA)
    assert response.status_code == 200, response.text
    assert response.json() == client.predict(model_id, DATA)
    assert set(response.json()[0]) == {"answer", "Probability answer is yes", "Probability answer is no"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_transforms_only_returns_typed_features(client: ApiClient, model_id: str, method: str) -> None:
    response = deploy(client, method, **{"flow_key": f"{model_id}/1", "data": DATA, "deploy-transforms-only": True})
    assert response.json() == [
        {"word": "w0", "size": 1.5},
        {"word": "unseen", "size": None},
        {"word": None, "size": None},
    ]


@pytest.mark.parametrize("key", ["{model_id}", "{model_id}/", "{model_id}/2", "{model_id}/1/1", "gone/1", "/1", ""])
def test_unknown_deployment_returns_404(client: ApiClient, model_id: str, key: str) -> None:
    response = deploy(client, project_key=key.format(model_id=model_id), data=DATA)
    assert (response.status_code, list(response.json())) == (404, ["status"])


def test_deployment_rejects_wrong_key_and_missing_data(client: ApiClient, model_id: str) -> None:
    flow_key = f"{model_id}/1"
    assert deploy(client, flow_key=flow_key, data=DATA, api_key="wrong").status_code == 401
    assert deploy(client, flow_key=flow_key).status_code == 422
    assert deploy(client, flow_key=flow_key, data={}).status_code == 422
