"""What a model's statistics say in one number, and what is said where they say none."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_akkio.api.statistics import ModelMetric, main_metric, measure, parse_statistics
from airflow_provider_akkio.exceptions import AkkioParameterError


def one_class(name: str, field: str = "Won", **measures: Any) -> dict[str, Any]:
    return {"field": 3, "field_name": field, "field_type": "category", "class": 0, "class_name": name, **measures}


NO = one_class("no", count=30, frequency=0.9, precision=0.8, f1=1.0)
YES = one_class("yes", count=10, frequency=0.1, precision=0.4, f1=0.5)
WON = [NO, YES]
PRICE = [{"field": 4, "field_name": "Price", "field_type": "number", "rmse": 2.5, "r2": 0.75, "count": 100}]

TOO_LARGE = 10**400
"""A number that JSON can hold, and a float cannot."""


def without(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


class TestMeasure:
    def test_is_the_mean_over_the_classes_weighted_by_their_frequency(self) -> None:
        assert measure([WON], "f1") == ModelMetric("f1", pytest.approx(0.95), "Won")

    def test_is_weighted_by_the_count_where_there_is_no_frequency(self) -> None:
        classes = [without(one, "frequency") for one in WON]
        assert measure([classes], "precision").value == pytest.approx(0.7)

    @pytest.mark.parametrize("lacking", [[NO], [YES], [NO, YES]])
    def test_is_the_plain_mean_unless_each_class_has_a_weight(self, lacking: list[dict[str, Any]]) -> None:
        classes = [without(one, "frequency", "count") if one in lacking else one for one in WON]
        assert measure([classes], "f1").value == pytest.approx(0.75)

    def test_is_the_plain_mean_where_all_weights_are_zero(self) -> None:
        classes = [one | {"frequency": 0, "count": 0} for one in WON]
        assert measure([classes], "f1").value == pytest.approx(0.75)

    def test_may_be_that_of_one_class(self) -> None:
        assert measure([WON], "f1", class_name="yes") == ModelMetric("f1", 0.5, "Won", "yes")

    def test_of_a_class_need_not_be_known_for_the_others(self) -> None:
        assert measure([[without(NO, "f1"), YES]], "f1", class_name="yes").value == 0.5

    def test_may_be_that_of_one_field_out_of_several(self) -> None:
        assert measure([WON, PRICE], "r2", "Price") == ModelMetric("r2", 0.75, "Price")

    def test_of_a_number_field_is_any_number_in_it(self) -> None:
        assert measure([PRICE], "rmse") == ModelMetric("rmse", 2.5, "Price")

    @pytest.mark.parametrize(
        ("choice", "said"),
        [
            ({"metric": "auc"}, "field 'Won' have no metric 'auc'; there are: precision, f1."),
            ({"metric": "class_name"}, "no metric 'class_name'"),
            ({"metric": "f1", "class_name": "maybe"}, "'Won' has no class 'maybe'; there are: no, yes."),
            ({"metric": "f1", "field_name": "won"}, "does not predict field 'won'; there are: Won."),
        ],
    )
    def test_that_is_not_there_is_refused_with_those_that_are(self, choice: dict[str, str], said: str) -> None:
        with pytest.raises(AkkioParameterError) as caught:
            measure([WON], **choice)
        assert said in str(caught.value)

    def test_of_several_fields_has_to_name_one(self) -> None:
        with pytest.raises(AkkioParameterError, match=r"field_name must be one of: Won, Price\."):
            measure([WON, PRICE], "f1")

    @pytest.mark.parametrize("value", [None, "0.9", True, math.nan, math.inf, pytest.param(TOO_LARGE, id="too large")])
    def test_that_is_no_usable_number_is_none(self, value: Any) -> None:
        with pytest.raises(AkkioParameterError, match="no metric 'f1'; there are: precision"):
            measure([[NO, YES | {"f1": value}]], "f1")


class TestParsing:
    @pytest.mark.parametrize(
        "write", [lambda stats: stats, tuple, json.dumps, repr], ids=["list", "tuple", "json", "repr"]
    )
    def test_takes_statistics_as_they_are_and_as_the_text_that_a_template_makes(self, write: Any) -> None:
        assert parse_statistics(write([WON, PRICE])) == [WON, PRICE]

    @pytest.mark.parametrize(
        "value",
        [
            None,
            7,
            [],
            [[]],
            [WON, []],
            WON,
            [["no"]],
            {"Won": WON},
            "",
            "None",
            "{{ stats }}",
            "{{}}",
            "{[]: 1}",
            "[" * 10_000,
            "[[1]]",
        ],
    )
    def test_refuses_all_else(self, value: Any) -> None:
        with pytest.raises(AkkioParameterError, match="stats must be the statistics of a training"):
            parse_statistics(value)


class TestHeadline:
    def test_is_the_f1_score_of_the_first_field(self) -> None:
        assert main_metric([WON, PRICE]) == ModelMetric("f1", pytest.approx(0.95), "Won")

    def test_of_a_number_field_is_its_r2(self) -> None:
        assert main_metric([PRICE, WON]) == ModelMetric("r2", 0.75, "Price")

    def test_is_another_number_where_there_is_none_of_the_usual(self) -> None:
        assert main_metric([[without(one, "f1") for one in WON]]) == ModelMetric(
            "precision", pytest.approx(0.76), "Won"
        )

    @pytest.mark.parametrize(
        "stats",
        [
            None,
            [],
            [[]],
            "none",
            [[{}]],
            [[{"count": 3, "frequency": 1.0, "class": 0, "field": 1}]],
            [[{"f1": None}]],
            [[{"f1": TOO_LARGE}]],
            [[{"f1": 0.5}, {"precision": 0.5}]],
        ],
    )
    def test_is_nothing_where_there_is_no_number(self, stats: Any) -> None:
        assert main_metric(stats) is None
