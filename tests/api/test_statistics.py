"""Metrics, summary and log lines of a model."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_akkio.api.statistics import (
    ModelMetric,
    ModelSummary,
    get_metric,
    log_lines,
    log_model,
    main_metric,
    parse_statistics,
)
from airflow_provider_akkio.api.types import TrainingResult
from airflow_provider_akkio.exceptions import AkkioParameterError
from tests.api.results import ANY_RESULTS, category_result, huge_result, number_result


def class_stats(name: str, **metrics: Any) -> dict[str, Any]:
    return {"field": 3, "field_name": "Won", "field_type": "category", "class": 0, "class_name": name, **metrics}


def without(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


NO = class_stats("no", count=30, frequency=0.9, precision=0.8, f1=1.0)
YES = class_stats("yes", count=10, frequency=0.1, precision=0.4, f1=0.5)
WON = [NO, YES]
PRICE = [{"field": 4, "field_name": "Price", "field_type": "number", "rmse": 2.5, "r2": 0.75, "count": 100}]
TOO_LARGE = pytest.param(10**400, id="too large for a float")


@pytest.mark.parametrize(
    ("classes", "metric", "mean"),
    [
        pytest.param(WON, "f1", 0.95, id="frequency"),
        pytest.param([without(one, "frequency") for one in WON], "precision", 0.7, id="count"),
        pytest.param([without(one, "frequency", "count") for one in WON], "f1", 0.75, id="no weights"),
        pytest.param([NO, without(YES, "frequency", "count")], "f1", 0.75, id="weight missing for one class"),
        pytest.param([one | {"frequency": 0, "count": 0} for one in WON], "f1", 0.75, id="all weights zero"),
    ],
)
def test_metric_is_weighted_mean_over_classes(classes: list[dict[str, Any]], metric: str, mean: float) -> None:
    assert get_metric([classes], metric) == ModelMetric(metric, pytest.approx(mean), "Won")


def test_metric_of_one_class_ignores_other_classes() -> None:
    assert get_metric([[without(NO, "f1"), YES]], "f1", class_name="yes") == ModelMetric("f1", 0.5, "Won", "yes")


def test_metric_of_named_field_is_found_among_several_fields() -> None:
    assert get_metric([WON, PRICE], "r2", "Price") == ModelMetric("r2", 0.75, "Price")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"metric": "auc"}, "'Won' have no metric 'auc'; available: count, precision, f1."),
        ({"metric": "class_name"}, "no metric 'class_name'"),
        ({"metric": "f1", "class_name": "maybe"}, "'Won' has no class 'maybe'; available: no, yes."),
        ({"metric": "f1", "field_name": "won"}, "does not predict field 'won'; available: Won."),
    ],
)
def test_missing_metric_error_lists_available_names(choice: dict[str, str], message: str) -> None:
    with pytest.raises(AkkioParameterError) as error:
        get_metric([WON], **choice)
    assert message in str(error.value)


def test_metric_of_several_fields_requires_field_name() -> None:
    with pytest.raises(AkkioParameterError, match=r"field_name to one of: Won, Price\."):
        get_metric([WON, PRICE], "f1")


@pytest.mark.parametrize("value", [None, "0.9", True, math.nan, math.inf, TOO_LARGE])
def test_metric_that_is_not_a_finite_number_counts_as_missing(value: Any) -> None:
    with pytest.raises(AkkioParameterError, match="no metric 'f1'; available: count, precision"):
        get_metric([[NO, YES | {"f1": value}]], "f1")


@pytest.mark.parametrize("write", [list, tuple, json.dumps, repr])
def test_statistics_are_parsed_from_list_and_from_rendered_text(write: Any) -> None:
    assert parse_statistics(write([WON, PRICE])) == [WON, PRICE]


@pytest.mark.parametrize(
    "value",
    [
        *(None, 7, [], [[]], [WON, []], [WON, 3], WON, [["no"]], [[NO, 1]], {"Won": WON}),
        *("", "None", "{{ stats }}", "{{}}", "{[]: 1}", "[" * 10_000, "[[1]]"),
    ],
)
def test_statistics_of_another_shape_raise_parameter_error(value: Any) -> None:
    with pytest.raises(AkkioParameterError, match="stats must be the statistics of a training"):
        parse_statistics(value)


@pytest.mark.parametrize(
    ("stats", "metric"),
    [
        ([WON, PRICE], ModelMetric("f1", pytest.approx(0.95), "Won")),
        ([PRICE, WON], ModelMetric("r2", 0.75, "Price")),
        ([[without(one, "f1") for one in WON]], ModelMetric("precision", pytest.approx(0.76), "Won")),
        (
            [[{"field": 4, "field_name": "Price", "count": 100, "medianError": 2.0}]],
            ModelMetric("medianError", 2.0, "Price"),
        ),
    ],
)
def test_main_metric_is_f1_or_r2_or_first_metric_of_first_field(stats: Any, metric: ModelMetric) -> None:
    assert main_metric(stats) == metric


@pytest.mark.parametrize("name", ["count", "Count", "row_count", "rowCount", "test rows", "true positives", "support"])
def test_number_of_rows_is_not_the_main_metric(name: str) -> None:
    price = {"field": 4, "field_name": "Price", "field_type": "number", name: 100}
    assert main_metric([[price]]) is None
    assert main_metric([[price | {"error": 2.5}]]) == ModelMetric("error", 2.5, "Price")


@pytest.mark.parametrize(
    "stats",
    [
        None,
        [],
        [[]],
        json.dumps([WON]),
        [[{}]],
        [[{"count": 3, "frequency": 1.0, "class": 0, "field": 1}]],
        [[{"f1": None}]],
        [[{"f1": 0.5}, {"precision": 0.5}]],
    ],
)
def test_main_metric_is_none_without_a_common_number(stats: Any) -> None:
    assert main_metric(stats) is None


def test_summary_of_category_has_test_results_of_each_class() -> None:
    [field] = ModelSummary.of(category_result()).fields
    zero, one = field.classes
    assert (field.name, field.metrics) == ("Positive Lead", ())
    assert (zero.name, zero.count, zero.true_positives, zero.false_negatives, zero.false_positives) == (
        "0",
        347,
        334,
        13,
        27,
    )
    assert (one.precision, one.recall, one.frequency) == (26 / 39, 26 / 53, 53 / 400)
    assert (field.row_count, field.correct_count, field.most_missed) == (400, 360, one)


def test_summary_of_number_has_all_metrics_by_akkios_names() -> None:
    [field] = ModelSummary.of(number_result()).fields
    assert (field.classes, field.row_count, field.correct_count, field.most_missed) == ((), 88, None, None)
    assert field.metrics == (("rmse", 61.656), ("mae", 50.779), ("r2", 0.398))


def test_summary_sorts_fields_by_importance_and_reads_data_story() -> None:
    summary = ModelSummary.of(category_result())
    assert summary.importance == (("Webinars Attended", 0.6), ("Job Title", 0.4), ("Industry", 0.0))
    [story] = summary.story
    assert (story.field, story.outcome, story.top, story.average, story.bottom) == (
        "Positive Lead",
        "1",
        0.39,
        0.132,
        0.007,
    )
    assert story.causes[0] == ("Webinars Attended", "6", "0")


@pytest.mark.parametrize("broken", [math.nan, math.inf, TOO_LARGE, True, "0.5", None])
def test_summary_omits_values_that_are_not_finite_numbers(broken: Any) -> None:
    result = category_result()
    result["stats"][0][1]["true positives"] = broken
    result["field_importance"]["Job Title"] = broken
    summary = ModelSummary.of(result)
    assert summary.fields[0].correct_count is None
    assert [name for name, _ in summary.importance] == ["Webinars Attended", "Industry"]


@given(ANY_RESULTS)
def test_log_lines_accept_any_json(result: dict[str, Any]) -> None:
    lines = log_lines(ModelSummary.of(result))
    assert lines[0].startswith("model M1")
    assert len(lines) <= 8


def test_log_lines_of_category_show_largest_class_and_most_important_fields_first() -> None:
    assert log_lines(ModelSummary.of(category_result())) == [
        "model M1: f1 of 'Positive Lead' 0.893",
        "  Positive Lead = 0:  347 rows  precision 0.93  recall 0.96  F1 0.94",
        "  Positive Lead = 1:  53 rows  precision 0.67  recall 0.49  F1 0.57",
        "most important fields",
        "  Webinars Attended  ████████████████████  60.0%",
        "  Job Title          █████████████         40.0%",
    ]


def test_log_lines_of_number_show_its_metrics() -> None:
    assert log_lines(ModelSummary.of(number_result()))[:2] == [
        "model M2: r2 of 'progression' 0.398",
        "  progression:  88 rows  rmse 61.66  mae 50.78  r2 0.398",
    ]


def test_log_lines_are_limited_for_many_classes_and_fields() -> None:
    result = category_result()
    zero = result["stats"][0][0]
    result["stats"][0] = [zero | {"class_name": str(number), "count": number} for number in range(200)]
    result["field_importance"] = {f"field {number}": 1 / 500 for number in range(500)}
    lines = log_lines(ModelSummary.of(result))
    assert len(lines) == 8
    assert lines[1].startswith("  Positive Lead = 199:")
    assert lines[3] == "  … and 198 more"


def test_log_lines_contain_no_control_characters() -> None:
    result = category_result()
    result["stats"][0][0]["class_name"] = "x\n\x1b[31mred" + "y" * 500
    lines = log_lines(ModelSummary.of(result))
    assert max(map(len, lines)) < 120
    assert not any(character in line for line in lines for character in "\n\x1b")


def test_log_lines_accept_sums_that_overflow() -> None:
    summary = ModelSummary.of(huge_result())
    assert (summary.fields[0].row_count, summary.fields[0].correct_count) == (None, None)
    assert "Webinars Attended  ████████████████████" in "\n".join(log_lines(summary))


def test_log_model_warns_instead_of_failing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_akkio.api.statistics.log_lines", lambda _: 1 / 0)
    log_model(logging.getLogger("task"), TrainingResult(**category_result()))
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert "model M1" in record.getMessage()
