"""A model as a few lines of text."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_akkio.api.summary import ModelSummary, card, framed, log_model
from airflow_provider_akkio.api.types import TrainingResult
from airflow_provider_akkio.web.templating import standalone_page


def test_a_category_shows_its_classes_the_largest_first_and_what_matters_most(leads: dict[str, Any]) -> None:
    assert card(ModelSummary.of(leads)) == [
        "model M1: f1 of 'Positive Lead' 0.893",
        "  Positive Lead = 0:  347 rows  precision 0.93  recall 0.96  F1 0.94",
        "  Positive Lead = 1:  53 rows  precision 0.67  recall 0.49  F1 0.57",
        "most important fields",
        "  Webinars Attended  ████████████████████  60.0%",
        "  Job Title          █████████████         40.0%",
    ]


def test_a_number_shows_its_measures(progression: dict[str, Any]) -> None:
    assert card(ModelSummary.of(progression))[:2] == [
        "model M2: r2 of 'progression' 0.398",
        "  progression:  count 88  rmse 61.66  mae 50.78  r2 0.398",
    ]


def test_many_classes_and_fields_make_no_longer_a_card(leads: dict[str, Any]) -> None:
    leads["stats"][0] = [{**leads["stats"][0][0], "class_name": str(number), "count": number} for number in range(200)]
    leads["field_importance"] = {f"field {number}": 1 / 500 for number in range(500)}
    lines = card(ModelSummary.of(leads))
    assert len(lines) == 8
    assert lines[1].startswith("  Positive Lead = 199:")
    assert lines[3] == "  … and 198 more"


def test_a_name_with_control_characters_stays_on_its_line(leads: dict[str, Any]) -> None:
    leads["stats"][0][0]["class_name"] = "x\n\x1b[31mred" + "y" * 500
    lines = card(ModelSummary.of(leads))
    assert max(map(len, lines)) < 120
    assert not any(character in line for line in lines for character in "\n\x1b")


def test_a_frame_is_as_wide_as_its_longest_line() -> None:
    assert framed(["a", "long"]) == "╭──────\n│ a\n│ long\n╰──────"


def test_numbers_that_are_larger_than_any_float_make_no_error(leads: dict[str, Any]) -> None:
    huge = dict.fromkeys(("count", "true positives", "false negatives", "frequency", "f1"), 1e308)
    leads["stats"][0] = [one | huge for one in leads["stats"][0]]
    leads["field_importance"] = {"Webinars Attended": 1e308, "Job Title": 1e307}
    model = ModelSummary.of(leads)
    assert (model.fields[0].rows, model.fields[0].right) == (None, None)
    assert "Webinars Attended  ████████████████████" in "\n".join(card(model))
    assert "M1" in standalone_page(model)


def test_a_card_that_cannot_be_made_is_a_warning_beside_the_model(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, leads: dict[str, Any]
) -> None:
    monkeypatch.setattr("airflow_provider_akkio.api.summary.card", lambda _: 1 / 0)
    log_model(logging.getLogger("task"), TrainingResult(**leads))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "Akkio trained model M1; its statistics cannot be shown.")
    ]
