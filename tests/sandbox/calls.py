"""The training calls of Akkio's API, as plainly as a person would make them with curl."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Calls:
    """Calls to one sandbox with one key."""

    url: str
    key: str = "sandbox-key"

    def post(self, **payload: Any) -> requests.Response:
        address = f"{self.url}/api/v1/models/train/new"
        return requests.post(address, json=payload, headers={"X-API-Key": self.key}, timeout=10)

    def get(self, task_id: str, what: str) -> requests.Response:
        address = f"{self.url}/api/v1/models/train/{task_id}/{what}"
        return requests.get(address, headers={"X-API-Key": self.key}, timeout=10)

    def submit(self, **payload: Any) -> str:
        response = self.post(**payload)
        assert response.status_code == 201, response.text
        return str(response.json()["task_id"])

    def status(self, task_id: str) -> dict[str, Any]:
        response = self.get(task_id, "status")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def wait(self, task_id: str, until: Callable[[str], bool] | None = None) -> dict[str, Any]:
        """Return the first status that is wanted; default the first that is final."""
        wanted = until or (lambda status: status in ("SUCCEEDED", "FAILED"))
        deadline = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < deadline:
            answer = self.status(task_id)
            if wanted(answer["status"]):
                return answer
            time.sleep(0.01)
        raise TimeoutError(f"{task_id} is still {answer}")

    def train(self, **payload: Any) -> dict[str, Any]:
        """Return the result of a training that succeeds."""
        task_id = self.submit(**payload)
        answer = self.wait(task_id)
        assert answer["status"] == "SUCCEEDED", answer
        return dict(self.get(task_id, "result").json())

    def fail(self, **payload: Any) -> str:
        """Return the reason of a training that fails."""
        answer = self.wait(self.submit(**payload))
        assert answer["status"] == "FAILED", answer
        assert answer["metadata"]["type"] == "FAILED"
        return str(answer["metadata"]["error"])
