"""What may be asked for, and how Akkio's answers are read."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_provider_akkio.api.parameters import TrainRequest, parse_id
from airflow_provider_akkio.api.types import Duration, TrainingResult, TrainingState, TrainingStatus
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioResponseError


def parse(**parameters: Any) -> TrainRequest:
    return TrainRequest(**{"dataset_id": "D1", **parameters})


def test_what_was_not_given_is_left_to_akkio() -> None:
    assert parse().to_json() == {"dataset_id": "D1", "duration": 10, "extra_attention": False, "force": False}


def test_everything_that_was_given_is_sent() -> None:
    request = parse(predict_fields=["a", "b"], ignore_fields="c", duration=1800, extra_attention=True, force=True)
    assert request.to_json() == {
        "dataset_id": "D1",
        "predict_fields": ["a", "b"],
        "ignore_fields": ["c"],
        "duration": 1800,
        "extra_attention": True,
        "force": True,
    }


def test_an_empty_list_in_text_names_no_field() -> None:
    assert parse(ignore_fields="[]").ignore_fields == ()
    with pytest.raises(AkkioParameterError):
        parse(predict_fields="[]")


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("Positive Lead", ("Positive Lead",)),
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
        ("['a', 'b']", ("a", "b")),
        ('["a"]', ("a",)),
        ("[Revenue]", ("[Revenue]",)),
        ("[1]", ("[1]",)),
        (" leading space", (" leading space",)),
        ("\n['a', 'b']\n", ("a", "b")),
        ("('a', 'b')", ("a", "b")),
        ("(a)", ("(a)",)),
    ],
)
def test_fields_are_a_name_or_names_or_what_a_template_makes_of_them(given: Any, understood: tuple[str, ...]) -> None:
    assert parse(predict_fields=given).predict_fields == understood
    assert parse(ignore_fields=given).ignore_fields == understood


@pytest.mark.parametrize("value", [60, "60", " 60 ", 60.0, Duration.HIGH_QUALITY])
def test_a_duration_is_a_number_or_its_text(value: Any) -> None:
    assert parse(duration=value).duration == 60


@pytest.mark.parametrize(("value", "meaning"), [(True, True), ("True", True), ("false", False), (" FALSE ", False)])
def test_a_flag_is_a_boolean_or_its_text(value: Any, meaning: bool) -> None:
    assert parse(force=value).force is meaning
    assert parse(extra_attention=value).extra_attention is meaning


def test_spaces_around_an_id_are_trimmed() -> None:
    assert parse(dataset_id=" D1\n").dataset_id == "D1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataset_id", ""),
        ("dataset_id", "  "),
        ("dataset_id", None),
        ("dataset_id", 7),
        ("dataset_id", "None"),
        ("dataset_id", "D1\n2026-11-23 INFO all is well"),
        ("predict_fields", ""),
        ("predict_fields", []),
        ("predict_fields", 7),
        ("predict_fields", True),
        ("predict_fields", {"a": 1}),
        ("predict_fields", b"a"),
        ("predict_fields", ["a", 7]),
        ("predict_fields", "None"),
        ("ignore_fields", " None "),
        ("ignore_fields", iter(["a"])),
        ("ignore_fields", {"a"}),
        ("predict_fields", ["a", " "]),
        ("predict_fields", ["a", "a"]),
        ("ignore_fields", [None]),
        ("duration", 11),
        ("duration", "ten"),
        ("duration", True),
        ("duration", None),
        ("duration", 10.5),
        ("extra_attention", "maybe"),
        ("extra_attention", 1),
        ("force", None),
    ],
)
def test_a_wrong_value_is_a_value_error_that_names_the_parameter(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be") as caught:
        parse(**{name: value})
    assert isinstance(caught.value, AkkioParameterError)


def test_a_field_cannot_be_predicted_and_ignored() -> None:
    with pytest.raises(AkkioParameterError, match=r"both name \['b'\]"):
        parse(predict_fields=["a", "b"], ignore_fields=["b", "c"])


def test_an_id_is_text() -> None:
    assert parse_id("akkio_task_id", " T1 ") == "T1"
    with pytest.raises(AkkioParameterError, match=r"^akkio_task_id must be"):
        parse_id("akkio_task_id", None)


def test_a_state_keeps_what_akkio_said() -> None:
    body = {"status": "SUCCEEDED", "metadata": {"type": "SUCCEEDED", "location": "/x", "new": 1}, "newer": 2}
    assert TrainingState.from_json(body) == TrainingState("SUCCEEDED", location="/x")


@pytest.mark.parametrize("metadata", [None, [], "text", {"estimate_seconds": None, "location": 7, "error": []}])
def test_metadata_of_an_odd_shape_counts_as_absent(metadata: Any) -> None:
    assert TrainingState.from_json({"status": "PENDING", "metadata": metadata}) == TrainingState("PENDING")


@pytest.mark.parametrize(
    ("given", "read"),
    [(12, 12.0), (0.5, 0.5), (-1, None), (True, None), ("9", None), (10**400, None), (math.inf, None)],
)
def test_an_estimate_is_a_sensible_number_or_none(given: Any, read: float | None) -> None:
    state = TrainingState.from_json({"status": "IN_PROGRESS", "metadata": {"estimate_seconds": given}})
    assert state.estimate_seconds == read


@pytest.mark.parametrize("body", [{}, {"status": None}, {"status": ""}, {"status": 3}])
def test_a_state_without_a_status_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(AkkioResponseError, match="no 'status'"):
        TrainingState.from_json(body)


def test_a_status_of_endless_length_is_malformed() -> None:
    with pytest.raises(AkkioResponseError, match="'status' that is no status"):
        TrainingState.from_json({"status": "x" * 201})


def test_an_undocumented_status_is_carried_through() -> None:
    state = TrainingState.from_json({"status": "CELEBRATING"})
    assert (state.status, state.known) == ("CELEBRATING", None)


def test_every_status_is_waiting_or_failed_or_neither() -> None:
    assert [one for one in TrainingStatus if one.is_waiting] == ["PENDING", "SUBMITTED"]
    assert [one for one in TrainingStatus if one.is_failed] == ["FAILED", "UNKNOWN_TIMEOUT"]


@pytest.mark.parametrize("model_id", ["", None, 7, "two\nlines", "x" * 201])
def test_a_model_without_a_sensible_id_is_malformed(model_id: Any) -> None:
    with pytest.raises(AkkioResponseError):
        TrainingResult.from_json({"model_id": model_id})


def test_a_result_passes_its_parts_untouched() -> None:
    parts = {"stats": {"odd": [1, None]}, "field_importance": [], "data_story": "text"}
    assert TrainingResult.from_json({"model_id": "M1", **parts}) == TrainingResult("M1", *parts.values())


def test_a_result_may_lack_everything_but_the_model() -> None:
    assert TrainingResult.from_json({"model_id": "M1"}) == TrainingResult("M1", None, None, None)
