"""Results of trainings, as Akkio sends them."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def leads() -> dict[str, Any]:
    """A model that predicts a category of two classes."""
    return {
        "model_id": "M1",
        "stats": [[_class("0", 347, 334, 27, 13), _class("1", 53, 26, 13, 27)]],
        "field_importance": {"Industry": 0.0, "Webinars Attended": 0.6, "Job Title": 0.4},
        "data_story": [
            {
                "name": "Positive Lead",
                "type": "category",
                "outcomes": [
                    {
                        "outcome": "1",
                        "causes": [
                            {"field": "Webinars Attended", "top_value": "6", "bottom_value": "0"},
                            {"field": "Job Title", "top_value": "Executive", "bottom_value": "Assistant"},
                        ],
                        "top_case": 0.39,
                        "avg_case": 0.132,
                        "bottom_case": 0.007,
                    }
                ],
            }
        ],
    }


@pytest.fixture
def progression() -> dict[str, Any]:
    """A model that predicts a number."""
    numbers = {"count": 88, "rmse": 61.656, "mae": 50.779, "r2": 0.398}
    stats = [[{"field": 10, "field_name": "progression", "field_type": "number", **numbers}]]
    return {"model_id": "M2", "stats": stats, "field_importance": {"bmi": 1.0}, "data_story": []}


def _class(name: str, count: int, found: int, mistaken: int, missed: int) -> dict[str, Any]:
    return {
        "field": 12,
        "field_name": "Positive Lead",
        "field_type": "category",
        "class": int(name),
        "class_name": name,
        "count": count,
        "true positives": found,
        "false positives": mistaken,
        "false negatives": missed,
        "precision": found / (found + mistaken),
        "recall": found / count,
        "f1": 2 * found / (2 * found + mistaken + missed),
        "frequency": count / 400,
    }
