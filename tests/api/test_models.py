from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_akkio.api.config import ApiVersion
from airflow_provider_akkio.api.http import Method, Response, TransportError
from airflow_provider_akkio.api.requester import MAX_INVALID_RESPONSES, MAX_RETRY_SECONDS
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioPredictionMismatchError,
    AkkioResponseError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
)
from tests.api.driving import LOST, NOT_FOUND, UNREACHABLE, FlowDriver, response

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
def test_predict_fails_after_ten_invalid_responses(predictions: Any) -> None:
    driver = FlowDriver([predicted(predictions)])
    with pytest.raises(AkkioResponseError, match="'predictions'"):
        predict(driver)
    assert len(driver.requests) == MAX_INVALID_RESPONSES


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
