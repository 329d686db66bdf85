from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_akkio.api.config import ApiVersion
from airflow_provider_akkio.api.http import Method, Response, TransportError, authenticate
from airflow_provider_akkio.api.requester import MAX_COMPLETE_SECONDS, MAX_INVALID_RESPONSES, MAX_RETRY_SECONDS
from airflow_provider_akkio.api.v1 import ROWS_TIMEOUT
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioPredictionMismatchError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
)
from tests.api.driving import CONFIG, LOST, NOT_FOUND, UNREACHABLE, FlowDriver, response

ROWS = [{"Age": 30}, {"Age": None}]
PREDICTIONS = [{"Won": "no", "Probability Won is no": 0.8}, {"Won": "yes", "Probability Won is no": 0.3}]


def predicted(predictions: Any) -> Response:
    return response({"status": "success", "predictions": predictions})


def predict(driver: FlowDriver, **options: bool) -> list[dict[str, Any]]:
    return driver.run(lambda akkio: akkio.models.predict("M1", ROWS, **options))


@pytest.mark.parametrize("options", [{}, {"explain": True}])
def test_predict_sends_all_rows_in_one_request(options: dict[str, bool]) -> None:
    driver = FlowDriver([predicted(PREDICTIONS)])
    assert predict(driver, **options) == PREDICTIONS
    [request] = driver.requests
    assert (request.method, request.url) == (Method.POST, "https://api.akkio.com/v1/models")
    assert request.json == {"id": "M1", "data": ROWS, "explain": False} | options
    assert request.api_version is ApiVersion.V1


@pytest.mark.parametrize("predictions", [[], PREDICTIONS[:1], [*PREDICTIONS, PREDICTIONS[0]]])
def test_predict_fails_if_the_number_of_predictions_differs(predictions: list[dict[str, Any]]) -> None:
    driver = FlowDriver([predicted(predictions), predicted(PREDICTIONS)])
    with pytest.raises(AkkioPredictionMismatchError, match=f"'M1'.*{len(predictions)} predictions for 2 rows"):
        predict(driver)
    assert len(driver.requests) == 1


@pytest.mark.parametrize("predictions", [None, {}, "no", ["no", "yes"], [PREDICTIONS[0], None], [PREDICTIONS[0], {}]])
def test_predict_fails_after_half_a_minute_of_complete_invalid_responses(predictions: Any) -> None:
    driver = FlowDriver([predicted(predictions)])
    with pytest.raises(AkkioResponseError, match="no valid predictions"):
        predict(driver)
    assert 1 < len(driver.requests) < MAX_INVALID_RESPONSES
    assert sum(driver.sleeps) == pytest.approx(MAX_COMPLETE_SECONDS)


def test_predict_reports_the_message_of_an_error() -> None:
    driver = FlowDriver([response({"status": "error", "message": "model is being retrained"})])
    with pytest.raises(AkkioRequestRejectedError, match=r"'M1'.*model is being retrained"):
        predict(driver)
    assert len(driver.requests) == 1


def test_requests_with_rows_have_a_longer_timeout() -> None:
    driver = FlowDriver([predicted(PREDICTIONS)])
    predict(driver)
    [request] = driver.requests
    assert request.timeout(CONFIG) == ROWS_TIMEOUT
    assert request.timeout(replace(CONFIG, timeout=500.0)) == 500.0


class TestPredictDeployed:
    def predict(self, driver: FlowDriver, **options: bool) -> list[dict[str, Any]]:
        return driver.run(lambda akkio: akkio.models.predict_deployed("M1/1", ROWS, **options))

    @pytest.mark.parametrize("transforms_only", [False, True])
    def test_all_rows_are_sent_in_one_request(self, transforms_only: bool) -> None:
        driver = FlowDriver([response(PREDICTIONS)])
        assert self.predict(driver, transforms_only=transforms_only) == PREDICTIONS
        [request] = driver.requests
        assert (request.method, request.url) == (Method.POST, "https://api.akkio.com/api")
        options = {"deploy-transforms-only": True} if transforms_only else {}
        assert request.json == {"project_key": "M1/1", "data": ROWS} | options

    def test_key_is_in_the_body(self) -> None:
        driver = FlowDriver([response(PREDICTIONS)])
        self.predict(driver)
        sent = authenticate(driver.requests[0], CONFIG)
        assert (sent.json or {})["api_key"] == CONFIG.api_key
        assert CONFIG.api_key not in sent.url

    @pytest.mark.parametrize(
        ("body", "status", "error"),
        [
            ({"status": "error", "message": "no such field"}, 200, AkkioRequestRejectedError),
            ({"status": "missing or invalid API key"}, 404, AkkioUnauthorizedError),
            ({"detail": "unknown deployment"}, 404, AkkioNotFoundError),
            (PREDICTIONS[:1], 200, AkkioPredictionMismatchError),
            ({"predictions": PREDICTIONS}, 200, AkkioResponseError),
        ],
    )
    def test_error_is_raised(self, body: Any, status: int, error: type[Exception]) -> None:
        with pytest.raises(error, match="deployment 'M1/1'"):
            self.predict(FlowDriver([response(body, status)]))


@pytest.mark.parametrize("failure", [LOST, UNREACHABLE, response({}, 500), response({}, 429), Response(200, b"<html>")])
def test_predict_is_retried_after_any_failure(failure: Response | TransportError) -> None:
    driver = FlowDriver([failure, predicted(PREDICTIONS)])
    assert predict(driver) == PREDICTIONS
    assert len(driver.requests) == 2


def test_predict_gives_up_after_five_minutes() -> None:
    driver = FlowDriver([LOST])
    with pytest.raises(AkkioUnavailableError, match="Predictions of model 'M1': connection to"):
        predict(driver)
    assert sum(driver.sleeps) == pytest.approx(MAX_RETRY_SECONDS)


@pytest.mark.parametrize(
    ("rejection", "error"),
    [(NOT_FOUND, AkkioNotFoundError), (response({"status": "data: bad"}, 422), AkkioUnprocessableError)],
)
def test_predict_is_not_retried_after_a_rejection(rejection: Response, error: type[Exception]) -> None:
    driver = FlowDriver([rejection, predicted(PREDICTIONS)])
    with pytest.raises(error, match="Predictions of model 'M1'"):
        predict(driver)
    assert len(driver.requests) == 1
