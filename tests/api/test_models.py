"""Models are listed, asked for predictions, and deleted; nothing is made of predictions that fit no rows."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_akkio.api.config import ApiVersion
from airflow_provider_akkio.api.http import Method, Response, TransportError
from airflow_provider_akkio.api.polling import READ_TIMEOUT
from airflow_provider_akkio.api.requester import MAX_MALFORMED_IN_A_ROW
from airflow_provider_akkio.api.v1 import NamedResource
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioPredictionMismatchError,
    AkkioResponseError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
)
from tests.api.driving import LOST, NOT_FOUND, UNREACHABLE, Talk, answer

ROWS = [{"Age": 30}, {"Age": None}]
SAID = [{"Won": "no", "Probability Won is no": 0.8}, {"Won": "yes", "Probability Won is no": 0.3}]


def predictions(said: Any) -> Response:
    return answer({"status": "success", "predictions": said})


def predict(talk: Talk, **options: bool) -> list[dict[str, Any]]:
    return talk.hold(lambda akkio: akkio.models.predict("M1", ROWS, **options))


class TestPredicting:
    @pytest.mark.parametrize("options", [{}, {"explain": True}])
    def test_asks_once_for_all_rows(self, options: dict[str, bool]) -> None:
        talk = Talk([predictions(SAID)])
        assert predict(talk, **options) == SAID
        [request] = talk.requests
        assert (request.method, request.url) == (Method.POST, "https://api.akkio.com/v1/models")
        assert request.json == {"id": "M1", "data": ROWS, "explain": False} | options
        assert request.api_version is ApiVersion.V1

    @pytest.mark.parametrize("said", [[], SAID[:1], [*SAID, SAID[0]]])
    def test_takes_no_prediction_where_there_are_too_few_or_too_many(self, said: list[dict[str, Any]]) -> None:
        talk = Talk([predictions(said), predictions(SAID)])
        with pytest.raises(
            AkkioPredictionMismatchError, match=f"'M1': Akkio answered 2 rows with {len(said)} predictions"
        ):
            predict(talk)
        assert len(talk.requests) == 1

    @pytest.mark.parametrize("said", [None, {}, "no", ["no", "yes"], [SAID[0], None], [SAID[0], {}]])
    def test_asks_ten_times_where_predictions_say_nothing(self, said: Any) -> None:
        talk = Talk([predictions(said)])
        with pytest.raises(AkkioResponseError, match="no 'predictions' that say anything"):
            predict(talk)
        assert len(talk.requests) == MAX_MALFORMED_IN_A_ROW

    @pytest.mark.parametrize("failure", [LOST, UNREACHABLE, answer({}, 500), answer({}, 429), Response(200, b"<html>")])
    def test_is_tried_again_whatever_became_of_the_first_request(self, failure: Response | TransportError) -> None:
        talk = Talk([failure, predictions(SAID)])
        assert predict(talk) == SAID
        assert len(talk.requests) == 2

    def test_gives_up_after_five_minutes(self) -> None:
        talk = Talk([LOST])
        with pytest.raises(AkkioUnavailableError, match="Predictions of model 'M1': no answer"):
            predict(talk)
        assert sum(talk.pauses) == pytest.approx(READ_TIMEOUT)

    @pytest.mark.parametrize(
        ("refused", "error"),
        [(NOT_FOUND, AkkioNotFoundError), (answer({"status": "data: bad"}, 422), AkkioUnprocessableError)],
    )
    def test_a_refusal_is_final(self, refused: Response, error: type[Exception]) -> None:
        talk = Talk([refused, predictions(SAID)])
        with pytest.raises(error, match="Predictions of model 'M1'"):
            predict(talk)
        assert len(talk.requests) == 1


def test_models_are_listed() -> None:
    talk = Talk([answer({"status": "success", "models": [{"id": "M1", "name": "Leads"}, {"id": "M2"}]})])
    assert talk.hold(lambda akkio: akkio.models.list()) == [NamedResource("M1", "Leads"), NamedResource("M2", "")]
    assert [(one.method, one.url) for one in talk.requests] == [(Method.GET, "https://api.akkio.com/v1/models")]


def test_a_model_is_deleted() -> None:
    talk = Talk([answer({"status": "success"})])
    assert talk.hold(lambda akkio: akkio.models.delete("M1")) is True
    [request] = talk.requests
    assert (request.method, request.url) == (Method.DELETE, "https://api.akkio.com/v1/models")
    assert request.json == {"id": "M1"}


def test_a_model_that_akkio_no_longer_lists_is_gone() -> None:
    talk = Talk([answer({"status": "no such model"}), answer({"status": "success", "models": []})])
    assert talk.hold(lambda akkio: akkio.models.delete("M1")) is False
    assert talk.paths == ["models", "models"]
