"""What is read of a training's result."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from airflow_provider_akkio.api.summary import Cause, ModelSummary, card
from airflow_provider_akkio.web.templating import standalone_page

_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(
            some.sampled_from(
                ["class_name", "class", "count", "f1", "field_name", "field", "outcomes", "causes", "true positives"]
            )
            | some.text(max_size=10),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


def test_a_category_is_read_class_by_class(leads: dict[str, Any]) -> None:
    [field] = ModelSummary.of(leads).fields
    zero, one = field.outcomes
    assert (field.name, field.numbers) == ("Positive Lead", ())
    assert (zero.name, zero.count, zero.found, zero.missed, zero.mistaken) == ("0", 347, 334, 13, 27)
    assert (one.precision, one.recall, one.frequency) == (26 / 39, 26 / 53, 53 / 400)
    assert (field.rows, field.right, field.most_missed) == (400, 360, one)


def test_a_number_is_read_with_whatever_akkio_calls_its_measures(progression: dict[str, Any]) -> None:
    [field] = ModelSummary.of(progression).fields
    assert (field.outcomes, field.rows, field.right, field.most_missed) == ((), None, None, None)
    assert field.numbers == (("count", 88), ("rmse", 61.656), ("mae", 50.779), ("r2", 0.398))


def test_the_fields_come_by_their_importance(leads: dict[str, Any]) -> None:
    assert ModelSummary.of(leads).importance == (("Webinars Attended", 0.6), ("Job Title", 0.4), ("Industry", 0.0))


def test_the_story_is_read_with_its_causes(leads: dict[str, Any]) -> None:
    [told] = ModelSummary.of(leads).story
    assert (told.field, told.outcome, told.average) == ("Positive Lead", "1", 0.132)
    assert told.causes[0] == Cause("Webinars Attended", "6", "0")


@pytest.mark.parametrize("broken", [math.nan, math.inf, 10**400, True, "0.5", None])
def test_what_is_no_number_is_left_out(leads: dict[str, Any], broken: Any) -> None:
    leads["stats"][0][1]["true positives"] = broken
    leads["field_importance"]["Job Title"] = broken
    model = ModelSummary.of(leads)
    assert model.fields[0].right is None
    assert [name for name, _ in model.importance] == ["Webinars Attended", "Industry"]


@given(stats=_JSON, field_importance=_JSON, data_story=_JSON)
def test_no_result_however_shaped_is_an_error(stats: Any, field_importance: Any, data_story: Any) -> None:
    parts = {"model_id": "M1", "stats": stats, "field_importance": field_importance, "data_story": data_story}
    model = ModelSummary.of(parts)
    assert "M1" in card(model)[0]
    assert "M1" in standalone_page(model)
