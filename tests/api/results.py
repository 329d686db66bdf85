"""Results of trainings as Akkio sends them, and any JSON in their place."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def category_result() -> dict[str, Any]:
    """Return the result of a model that predicts two classes."""
    return {
        "model_id": "M1",
        "stats": [[_class_stats("0", 347, 334, 27, 13), _class_stats("1", 53, 26, 13, 27)]],
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


def number_result() -> dict[str, Any]:
    """Return the result of a model that predicts a number."""
    metrics = {"count": 88, "rmse": 61.656, "mae": 50.779, "r2": 0.398}
    stats = [[{"field": 10, "field_name": "progression", "field_type": "number", **metrics}]]
    return {"model_id": "M2", "stats": stats, "field_importance": {"bmi": 1.0}, "data_story": []}


def huge_result() -> dict[str, Any]:
    """Return a result whose sums do not fit into a float."""
    result = category_result()
    huge = dict.fromkeys(("count", "true positives", "false negatives", "frequency", "f1"), 1e308)
    result["stats"] = [[one | huge for one in result["stats"][0]]]
    result["field_importance"] = {"Webinars Attended": 1e308, "Job Title": 1e307}
    return result


_NAMES = ("class_name", "class", "count", "f1", "field_name", "field", "outcomes", "causes", "true positives")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=10), inner, max_size=6)
    ),
    max_leaves=30,
)
ANY_RESULTS = st.fixed_dictionaries(
    {"model_id": st.just("M1"), "stats": _JSON, "field_importance": _JSON, "data_story": _JSON}
)
"""Results of any shape."""


def _class_stats(name: str, count: int, true_positives: int, false_positives: int, false_negatives: int) -> Any:
    return {
        "field": 12,
        "field_name": "Positive Lead",
        "field_type": "category",
        "class": int(name),
        "class_name": name,
        "count": count,
        "true positives": true_positives,
        "false positives": false_positives,
        "false negatives": false_negatives,
        "precision": true_positives / (true_positives + false_positives),
        "recall": true_positives / count,
        "f1": 2 * true_positives / (2 * true_positives + false_positives + false_negatives),
        "frequency": count / 400,
    }
