"""A number beside those before it."""

from __future__ import annotations

from airflow_provider_akkio.api.statistics import ModelMetric
from airflow_provider_akkio.web.trend import Trend


def test_the_last_number_is_compared_with_the_one_before() -> None:
    trend = Trend.of([ModelMetric("f1", 0.5, "x"), ModelMetric("f1", 0.25, "x")])
    assert trend is not None
    assert (trend.previous, trend.change) == (0.5, -0.25)
    assert trend.text == "f1, oldest first: 0.5, 0.25"


def test_numbers_of_another_metric_or_field_and_models_without_one_do_not_count() -> None:
    trend = Trend.of([ModelMetric("r2", 0.1, "x"), ModelMetric("f1", 0.2, "y"), None, ModelMetric("f1", 0.3, "x")])
    assert trend is not None
    assert (trend.values, trend.previous, trend.change, trend.points) == ((0.3,), None, None, [])


def test_there_is_no_trend_to_a_model_without_a_number() -> None:
    assert Trend.of([]) is None
    assert Trend.of([ModelMetric("f1", 0.2, "y"), None]) is None


def test_the_line_rises_with_the_numbers_and_stays_in_its_frame() -> None:
    trend = Trend.of([ModelMetric("f1", value, "x") for value in (0.1, 0.2, 0.3)])
    assert trend is not None
    assert trend.points == [(3.0, 29.0), (80.0, 16.0), (157.0, 3.0)]


def test_equal_numbers_make_a_level_line() -> None:
    trend = Trend.of([ModelMetric("f1", 0.1, "x")] * 2)
    assert trend is not None
    assert trend.points == [(3.0, 16.0), (157.0, 16.0)]
