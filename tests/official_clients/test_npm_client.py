"""Akkio's npm client."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.sandbox import DEFAULT_KEY, Sandbox

_SCRIPT = Path(__file__).with_name("call_every_function.cjs")


@pytest.fixture(scope="module")
def results(npm_folder: Path, sandbox: Sandbox) -> dict[str, Any]:
    """Result of each function of the client, by name."""
    port = sandbox.url.rpartition(":")[2]
    done = subprocess.run(
        ["node", str(_SCRIPT), port, DEFAULT_KEY],  # noqa: S607 - Node of this machine
        env={**os.environ, "NODE_PATH": str(npm_folder / "node_modules")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_every_function_succeeds(results: dict[str, Any]) -> None:
    assert results["uncalled"] == []
    assert {name for name, one in results.items() if name != "uncalled" and one["status"] != "success"} == set()


def test_dataset_has_uploaded_rows_and_parsed_types(results: dict[str, Any], sandbox: Sandbox) -> None:
    dataset_id = results["createDataset"]["dataset_id"]
    assert results["createDataset"]["dataset_name"] == "by npm"
    assert {"id": dataset_id, "name": "by npm"} in results["getDatasets"]["datasets"]
    assert dataset_id not in sandbox.datasets
    assert (results["getDataset"]["name"], results["getDataset"]["rows"]) == ("by npm", 200)
    assert results["getDataset"]["fields"] == [
        {"name": "x", "type": "float"},
        {"name": "size", "type": "integer"},
        {"name": "is large", "type": "category"},
    ]


def test_model_predicts(results: dict[str, Any]) -> None:
    model = results["createModel"]
    assert model["model_id"] in [one["id"] for one in results["getModels"]["models"]]
    assert [outcome["class_name"] for outcome in model["stats"][0]] == ["False", "True"]
    assert min(outcome["f1"] for outcome in model["stats"][0]) > 0.9
    assert model["field_importance"] == {"x": 1.0, "is large": 0.0}
    small, large = results["makePrediction"]["predictions"]
    assert (small["is large"], large["is large"]) == ("False", "True")
    assert large["Probability is large is True"] > 0.9
    assert list(large["explanation"]) == ["x"]
