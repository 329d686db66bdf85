"""Akkio's Python client."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import akkio
import pytest

from airflow_provider_akkio.sandbox import DEFAULT_KEY, Sandbox


@pytest.fixture(scope="module")
def results(sandbox: Sandbox) -> dict[str, Any]:
    """Result of each function of the client, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(akkio, "api_key", DEFAULT_KEY)
        patch.setattr(akkio, "protocol", "http")
        patch.setattr(akkio, "url", "127.0.0.1")
        patch.setattr(akkio, "port", sandbox.url.rpartition(":")[2])
        return _call_every_function()


def _call_every_function() -> dict[str, Any]:
    results: dict[str, Any] = {}

    def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        result = results[function.__name__] = function(*arguments, **options)
        return result

    dataset_id = call(akkio.create_dataset, "by Python")["dataset_id"]
    rows = [{"x": number / 200, "size": str(number), "is large": number >= 100} for number in range(200)]
    call(akkio.add_rows_to_dataset, dataset_id, rows)
    call(akkio.parse_dataset, dataset_id)
    call(akkio.get_datasets)
    model_id = call(akkio.create_model, dataset_id, ["is large"], ["size"], {"duration": 1})["model_id"]
    call(akkio.make_prediction, model_id, [{"x": 0.25}, {"x": "0.75"}], explain=True)
    call(akkio.get_models)
    call(akkio.delete_model, model_id)
    call(akkio.delete_dataset, dataset_id)
    return results


def test_every_function_succeeds(results: dict[str, Any]) -> None:
    functions = {name for name, _ in inspect.getmembers(akkio, inspect.isfunction)}
    assert set(results) == functions
    assert {name for name, result in results.items() if result["status"] != "success"} == set()


def test_dataset_is_created_and_deleted(results: dict[str, Any], sandbox: Sandbox) -> None:
    dataset_id = results["create_dataset"]["dataset_id"]
    assert results["create_dataset"]["dataset_name"] == "by Python"
    assert {"id": dataset_id, "name": "by Python"} in results["get_datasets"]["datasets"]
    assert dataset_id not in sandbox.datasets


def test_model_predicts(results: dict[str, Any]) -> None:
    model = results["create_model"]
    assert model["model_id"] in [one["id"] for one in results["get_models"]["models"]]
    assert [outcome["class_name"] for outcome in model["stats"][0]] == ["False", "True"]
    assert min(outcome["f1"] for outcome in model["stats"][0]) > 0.9
    assert model["field_importance"] == {"x": 1.0, "is large": 0.0}
    small, large = results["make_prediction"]["predictions"]
    assert (small["is large"], large["is large"]) == ("False", "True")
    assert large["Probability is large is True"] > 0.9
    assert list(large["explanation"]) == ["x"]
