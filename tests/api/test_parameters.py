from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_akkio.api.parameters import (
    TrainRequest,
    is_literal,
    naming_task,
    parse_flag,
    parse_id,
    parse_number,
    parse_optional_text,
    parse_row_count,
    parse_seconds,
)
from airflow_provider_akkio.api.types import Duration
from airflow_provider_akkio.exceptions import AkkioParameterError


def request(**parameters: Any) -> TrainRequest:
    return TrainRequest(**{"dataset_id": "D1", **parameters})


class TestTrainRequest:
    def test_json_has_no_fields_without_a_value(self) -> None:
        assert request().to_json() == {"dataset_id": "D1", "duration": 10, "extra_attention": False, "force": False}

    def test_json_has_every_given_field(self) -> None:
        given = request(predict_fields=["a", "b"], ignore_fields="c", duration=1800, extra_attention=True, force=True)
        assert given.to_json() == {
            "dataset_id": "D1",
            "predict_fields": ["a", "b"],
            "ignore_fields": ["c"],
            "duration": 1800,
            "extra_attention": True,
            "force": True,
        }

    @pytest.mark.parametrize(
        ("given", "parsed"),
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
            (2024, ("2024",)),
            ([2024, "a"], ("2024", "a")),
        ],
    )
    def test_field_names_are_a_name_or_a_list_or_its_rendered_text(self, given: Any, parsed: tuple[str, ...]) -> None:
        assert request(predict_fields=given).predict_fields == parsed
        assert request(ignore_fields=given).ignore_fields == parsed

    @pytest.mark.parametrize("value", [None, "", " ", "None"])
    def test_missing_field_names_are_not_sent(self, value: Any) -> None:
        sent = request(predict_fields=value, ignore_fields=value).to_json()
        assert not sent.keys() & {"predict_fields", "ignore_fields"}

    def test_empty_list_is_valid_only_for_ignore_fields(self) -> None:
        assert request(ignore_fields="[]").ignore_fields == ()
        with pytest.raises(AkkioParameterError):
            request(predict_fields="[]")

    @pytest.mark.parametrize("value", [60, "60", " 60 ", 60.0, Duration.HIGH_QUALITY])
    def test_duration_is_a_number_or_its_text(self, value: Any) -> None:
        duration = request(duration=value).duration
        assert duration == 60
        assert type(duration) is int

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(
                ("dataset_id", value)
                for value in ("", "  ", None, True, 7.0, "None", "D1\n2026-11-23 INFO all is well")
            ),
            *(("predict_fields", value) for value in ([], 7.0, True, {"a": 1}, b"a", ["a", 7.0], ["a", " "])),
            *(("predict_fields", value) for value in (["a", "a"], ["a", None])),
            *(("ignore_fields", value) for value in (iter(["a"]), {"a"}, [None])),
            *(("duration", value) for value in (11, "ten", True, None, 10.5, "nan", 10**400)),
            *(("extra_attention", value) for value in ("maybe", 1)),
            ("force", None),
        ],
    )
    def test_invalid_value_is_a_value_error_that_names_the_parameter(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"^{name} must be") as caught:
            request(**{name: value})
        assert isinstance(caught.value, AkkioParameterError)

    def test_field_cannot_be_predicted_and_ignored(self) -> None:
        with pytest.raises(AkkioParameterError, match=r"\['b'\]"):
            request(predict_fields=["a", "b"], ignore_fields=["b", "c"])


@pytest.mark.parametrize(
    ("parse", "value", "parsed"),
    [
        (parse_id, " T1\n", "T1"),
        (parse_id, 20261127, "20261127"),
        (parse_optional_text, 7, "7"),
        *((parse_optional_text, value, None) for value in (None, "", "None")),
        (parse_flag, True, True),
        (parse_flag, "True", True),
        (parse_flag, " FALSE ", False),
        (parse_number, "0.5", 0.5),
        (parse_number, -2, -2.0),
        (parse_row_count, 10_000, 10_000),
        (parse_row_count, " 7 ", 7),
        (parse_seconds, 0.5, 0.5),
        (parse_seconds, timedelta(minutes=2), 120.0),
    ],
)
def test_parser_accepts_a_literal_or_rendered_text(parse: Any, value: Any, parsed: Any) -> None:
    assert parse("name", value) == parsed
    assert type(parse("name", value)) is type(parsed)


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        *((parse_id, value) for value in (None, "", "None", True, 7.0)),
        *((parse_flag, value) for value in (None, 1, "yes")),
        *((parse_number, value) for value in (None, True, "many", "nan", "inf", [])),
        *((parse_row_count, value) for value in (None, True, 0, 10_001, 1.5, "many", "-1")),
        *((parse_seconds, value) for value in (None, True, 0, -1, "60", 400 * 86400, timedelta(0), float("nan"))),
    ],
)
def test_parser_rejects_an_invalid_value_and_names_the_parameter(parse: Any, value: Any) -> None:
    with pytest.raises(AkkioParameterError, match=r"^name must be"):
        parse("name", value)


@pytest.mark.parametrize(
    ("value", "is_final"),
    [("D1", True), (7, True), (["a", "b"], True), ("{{ ds }}", False), (["a", "{% if x %}"], False)],
)
def test_is_literal_detects_templates(value: Any, is_final: bool) -> None:
    assert is_literal(value) is is_final


def test_naming_task_adds_the_task_id_to_the_error() -> None:
    with pytest.raises(AkkioParameterError, match=r"^Task 'train': poll_interval must be"), naming_task("train"):
        parse_seconds("poll_interval", 0)
