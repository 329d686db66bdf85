"""The trend of a metric."""

from __future__ import annotations

from airflow_provider_akkio.api.statistics import ModelMetric
from airflow_provider_akkio.web.views import Trend


def trend_of(*values: float) -> Trend:
    trend = Trend.of([ModelMetric("f1", value, "x") for value in values])
    assert trend is not None
    return trend


def test_trend_compares_last_two_values() -> None:
    trend = trend_of(0.5, 0.25)
    assert (trend.previous, trend.change) == (0.5, -0.25)
    assert trend.text == "f1, oldest first: 0.5, 0.25"


def test_trend_omits_other_metrics_other_fields_and_missing_metrics() -> None:
    trend = Trend.of([ModelMetric("r2", 0.1, "x"), ModelMetric("f1", 0.2, "y"), None, ModelMetric("f1", 0.3, "x")])
    assert trend is not None
    assert (trend.values, trend.previous, trend.change, trend.points) == ((0.3,), None, None, [])


def test_model_without_metric_has_no_trend() -> None:
    assert Trend.of([]) is None
    assert Trend.of([ModelMetric("f1", 0.2, "y"), None]) is None


def test_points_fill_the_chart_or_form_a_level_line() -> None:
    assert trend_of(0.1, 0.2, 0.3).points == [(3.0, 29.0), (80.0, 16.0), (157.0, 3.0)]
    assert trend_of(0.1, 0.1).points == [(3.0, 16.0), (157.0, 16.0)]
