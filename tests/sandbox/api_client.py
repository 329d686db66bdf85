"""Plain HTTP calls to a sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests

MAX_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class ApiClient:
    """Client of one sandbox with one API key."""

    url: str
    key: str = "sandbox-key"

    def post_training(self, **payload: Any) -> requests.Response:
        url = f"{self.url}/api/v1/models/train/new"
        return requests.post(url, json=payload, headers={"X-API-Key": self.key}, timeout=120)

    def get_training(self, task_id: str, part: str) -> requests.Response:
        url = f"{self.url}/api/v1/models/train/{task_id}/{part}"
        return requests.get(url, headers={"X-API-Key": self.key}, timeout=120)

    def submit(self, **payload: Any) -> str:
        response = self.post_training(**payload)
        assert response.status_code == 201, response.text
        return str(response.json()["task_id"])

    def status(self, task_id: str) -> dict[str, Any]:
        response = self.get_training(task_id, "status")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def poll(self, task_id: str, until: Callable[[str], bool] = {"SUCCEEDED", "FAILED"}.__contains__) -> dict[str, Any]:
        """Return the first status response whose status is wanted; by default the first final one."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while time.monotonic() < deadline:
            response = self.status(task_id)
            if until(response["status"]):
                return response
            time.sleep(0.01)
        raise TimeoutError(f"{task_id} is still {response}")

    def train(self, **payload: Any) -> dict[str, Any]:
        """Return the result of a training that must succeed."""
        task_id = self.submit(**payload)
        response = self.poll(task_id)
        assert response["status"] == "SUCCEEDED", response
        return dict(self.get_training(task_id, "result").json())

    def fail(self, **payload: Any) -> str:
        """Return the error of a training that must fail."""
        response = self.poll(self.submit(**payload))
        assert response["status"] == response["metadata"]["type"] == "FAILED", response
        return str(response["metadata"]["error"])

    def get(self, resource: str, **query: Any) -> requests.Response:
        return requests.get(f"{self.url}/v1/{resource}", params={"api_key": self.key, **query}, timeout=120)

    def post(self, resource: str, **body: Any) -> requests.Response:
        return requests.post(f"{self.url}/v1/{resource}", json={"api_key": self.key, **body}, timeout=120)

    def delete(self, resource: str, **body: Any) -> requests.Response:
        return requests.delete(f"{self.url}/v1/{resource}", json={"api_key": self.key, **body}, timeout=120)

    def upload(self, rows: Sequence[dict[str, Any]], name: str = "uploaded") -> str:
        """Return the ID of a new dataset with these rows."""
        dataset_id = str(self.post("datasets", name=name).json()["dataset_id"])
        if rows:
            assert self.post("datasets", id=dataset_id, rows=rows).json() == {"status": "success"}
        return dataset_id

    def predict(self, model_id: str, rows: Sequence[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        response = self.post("models", id=model_id, data=rows, **options)
        assert response.status_code == 200, response.text
        return list(response.json()["predictions"])
