from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_provider_akkio.api.types import AkkioTaskState, AkkioTaskStatus, TrainingResult, required_id
from airflow_provider_akkio.exceptions import AkkioResponseError


class TestTrainingState:
    def test_unknown_fields_are_ignored(self) -> None:
        body = {"status": "SUCCEEDED", "metadata": {"type": "SUCCEEDED", "location": "/x", "new": 1}, "newer": 2}
        assert AkkioTaskState.from_json(body) == AkkioTaskState("SUCCEEDED", location="/x")

    @pytest.mark.parametrize("metadata", [None, [], "text", {"estimate_seconds": None, "location": 7, "error": []}])
    def test_invalid_metadata_is_ignored(self, metadata: Any) -> None:
        assert AkkioTaskState.from_json({"status": "PENDING", "metadata": metadata}) == AkkioTaskState("PENDING")

    @pytest.mark.parametrize(
        ("given", "parsed"),
        [(12, 12.0), (0.5, 0.5), (-1, None), (True, None), ("9", None), (10**400, None), (math.inf, None)],
    )
    def test_invalid_estimate_is_ignored(self, given: Any, parsed: float | None) -> None:
        state = AkkioTaskState.from_json({"status": "IN_PROGRESS", "metadata": {"estimate_seconds": given}})
        assert state.estimate_seconds == parsed

    @pytest.mark.parametrize("body", [{}, {"status": None}, {"status": ""}, {"status": 3}, {"status": "x" * 201}])
    def test_missing_or_invalid_status_is_an_error(self, body: dict[str, Any]) -> None:
        with pytest.raises(AkkioResponseError, match="'status'"):
            AkkioTaskState.from_json(body)

    def test_undocumented_status_is_passed_through(self) -> None:
        state = AkkioTaskState.from_json({"status": "CELEBRATING"})
        assert (state.status, state.known, state.is_waiting, state.is_failed) == ("CELEBRATING", None, False, False)

    def test_every_documented_status_is_waiting_or_failed_or_neither(self) -> None:
        states = [AkkioTaskState(status) for status in AkkioTaskStatus]
        assert [state.known for state in states] == list(AkkioTaskStatus)
        assert [state.status for state in states if state.is_waiting] == ["PENDING", "SUBMITTED"]
        assert [state.status for state in states if state.is_failed] == ["FAILED", "UNKNOWN_TIMEOUT"]


class TestTrainingResult:
    @pytest.mark.parametrize("model_id", ["", None, 7, "two\nlines", "x" * 201])
    def test_missing_or_invalid_model_id_is_an_error(self, model_id: Any) -> None:
        with pytest.raises(AkkioResponseError, match="'model_id'"):
            TrainingResult.from_json({"model_id": model_id})

    def test_parts_are_passed_through(self) -> None:
        parts = {"stats": {"odd": [1, None]}, "field_importance": [], "data_story": "text"}
        result = TrainingResult.from_json({"model_id": "M1", **parts})
        assert result == TrainingResult("M1", *parts.values())
        assert result.to_xcoms() == {"model_id": "M1", **parts}

    def test_missing_parts_are_not_pushed_to_xcom(self) -> None:
        assert TrainingResult.from_json({"model_id": "M1"}).to_xcoms() == {"model_id": "M1"}


def test_required_id_returns_the_id() -> None:
    assert required_id({"task_id": "T1"}, "task_id") == "T1"
