from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_akkio.api.http import Response, TransportError
from airflow_provider_akkio.api.requester import MetricName
from airflow_provider_akkio.api.v1 import NamedResource
from airflow_provider_akkio.exceptions import (
    AkkioForbiddenError,
    AkkioNotFoundError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
)
from tests.api.driving import GATEWAY_404, LOST, NOT_FOUND, UNREACHABLE, FlowDriver, response

DONE = response({"status": "success"})
EMPTY = response({"status": "success", "datasets": [], "models": []})


@pytest.fixture(params=["dataset", "model"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def list_all(kind: str, driver: FlowDriver) -> list[NamedResource]:
    return driver.run(lambda akkio: getattr(akkio, f"{kind}s").list())


def delete(kind: str, driver: FlowDriver) -> bool:
    return driver.run(lambda akkio: getattr(akkio, f"{kind}s").delete("X1"))


def listed(kind: str, *entries: Any) -> Response:
    return response({"status": "success", f"{kind}s": list(entries)})


class TestStatusText:
    @pytest.mark.parametrize(
        "text",
        [
            *("Missing or invalid API key", "missing api_key", "invalid api-key", "Invalid apikey."),
            *("your API Key is not valid", "API key required", "api_key: Field required", "Unknown API key"),
            *("The API key is missing or invalid.", "Wrong API key", "The API key has expired", "API key not found"),
        ],
    )
    @pytest.mark.parametrize("code", [200, 400, 404, 422])
    def test_text_about_the_key_is_an_unauthorized_error(self, kind: str, text: str, code: int) -> None:
        driver = FlowDriver([response({"status": text}, code), EMPTY])
        with pytest.raises(AkkioUnauthorizedError, match=rf"^List of {kind}s: .*{text}.*connection 'akkio_default'"):
            list_all(kind, driver)
        assert len(driver.requests) == 1

    @pytest.mark.parametrize(
        "text",
        [
            *("not today", "error", "Success", "", "no column Turkey", "too many monkeys"),
            *("no such key column", "unknown key", "missing key 'a' in row 1", "This API key reached its row limit"),
            *("predict_fields: unknown API key column", "column 'x': no API key values found"),
        ],
    )
    def test_other_text_is_a_rejection_with_that_text(self, kind: str, text: str) -> None:
        driver = FlowDriver([response({"status": text}), EMPTY])
        with pytest.raises(AkkioRequestRejectedError, match=re.escape(f"rejected the request: {text}")) as caught:
            list_all(kind, driver)
        assert type(caught.value) is AkkioRequestRejectedError
        assert len(driver.requests) == 1

    @pytest.mark.parametrize(
        ("code", "message", "error"),
        [
            (200, "no such key column", AkkioRequestRejectedError),
            (400, "no such key column", AkkioRequestRejectedError),
            (422, "no such key column", AkkioUnprocessableError),
            (403, "Invalid API key for this resource", AkkioForbiddenError),
            (404, "no such model", AkkioNotFoundError),
            (200, "invalid API key", AkkioUnauthorizedError),
            (404, "invalid API key", AkkioUnauthorizedError),
        ],
    )
    def test_error_contains_the_message_of_the_response(
        self, kind: str, code: int, message: str, error: type[Exception]
    ) -> None:
        with pytest.raises(error, match=rf"^List of {kind}s: .*: error: {message}\.") as caught:
            list_all(kind, FlowDriver([response({"status": "error", "message": message}, code)]))
        assert type(caught.value) is error

    def test_long_text_is_truncated_to_one_line(self, kind: str) -> None:
        with pytest.raises(AkkioRequestRejectedError) as caught:
            list_all(kind, FlowDriver([response({"status": "no\r\n" * 500})]))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize("body", [{}, {"status": None}, {"status": 1}, {"datasets": [], "models": []}])
    def test_missing_text_is_retried(self, kind: str, body: dict[str, Any]) -> None:
        driver = FlowDriver([response(body), EMPTY])
        assert list_all(kind, driver) == []
        assert len(driver.requests) == 2

    @pytest.mark.parametrize(
        ("status", "error"),
        [(401, AkkioUnauthorizedError), (403, AkkioForbiddenError), (400, AkkioRequestRejectedError)],
    )
    def test_text_of_an_http_error_is_in_the_message(self, kind: str, status: int, error: type[Exception]) -> None:
        with pytest.raises(error, match=rf"HTTP {status}\): not for you"):
            list_all(kind, FlowDriver([response({"status": "not for you"}, status)]))


class TestList:
    def test_list_returns_all_entries(self, kind: str) -> None:
        entries = [{"id": "A", "name": "one"}, {"id": "B", "name": "one"}, {"id": "C", "name": None}, {"id": "D"}]
        driver = FlowDriver([listed(kind, *entries)])
        expected = [("A", "one"), ("B", "one"), ("C", ""), ("D", "")]
        assert list_all(kind, driver) == [NamedResource(*entry) for entry in expected]
        assert [one.url for one in driver.requests] == [f"https://api.akkio.com/v1/{kind}s"]

    @pytest.mark.parametrize("entry", [None, "A", {}, {"name": "one"}, {"id": ""}, {"id": 7}, ["A", "one"]])
    def test_entry_without_an_id_is_an_error(self, kind: str, entry: Any) -> None:
        with pytest.raises(AkkioResponseError, match="'id'"):
            list_all(kind, FlowDriver([listed(kind, {"id": "A", "name": "one"}, entry)]))

    @pytest.mark.parametrize("entries", [None, {}, "A"])
    def test_missing_or_invalid_list_is_an_error(self, kind: str, entries: Any) -> None:
        with pytest.raises(AkkioResponseError, match=f"no '{kind}s'"):
            list_all(kind, FlowDriver([response({"status": "success", f"{kind}s": entries})]))

    @pytest.mark.parametrize(
        "failure", [LOST, UNREACHABLE, response({}, 502), Response(200, b"{", defect="was cut short")]
    )
    def test_list_is_retried(self, kind: str, failure: Response | TransportError) -> None:
        driver = FlowDriver([failure, failure, EMPTY])
        assert list_all(kind, driver) == []
        assert len(driver.sleeps) == 2

    def test_list_sleeps_as_long_as_retry_after_says(self, kind: str) -> None:
        driver = FlowDriver([response({}, 429, retry_after="7"), EMPTY])
        list_all(kind, driver)
        assert driver.sleeps == [7.0]
        assert driver.metrics.counts == {MetricName.RATE_LIMITED: 1}


class TestDelete:
    def test_delete_sends_the_id(self, kind: str) -> None:
        driver = FlowDriver([DONE])
        assert delete(kind, driver) is True
        assert [(one.method, one.url, one.json) for one in driver.requests] == [
            ("DELETE", f"https://api.akkio.com/v1/{kind}s", {"id": "X1"})
        ]

    @pytest.mark.parametrize("responses", [[NOT_FOUND], [LOST, NOT_FOUND]])
    def test_delete_of_an_unknown_id_succeeds(self, kind: str, responses: list[Response]) -> None:
        driver = FlowDriver([*responses, EMPTY])
        assert delete(kind, driver) is False
        assert driver.methods == ["DELETE"] * len(responses) + ["GET"]

    def test_404_of_another_server_does_not_mean_deleted(self, kind: str) -> None:
        with pytest.raises(AkkioNotFoundError, match="Not Found"):
            delete(kind, FlowDriver([response({"detail": "Not Found"}, 404)]))

    @pytest.mark.parametrize("status", [200, 400, 404, 422])
    def test_rejected_delete_succeeds_if_the_id_is_not_listed(self, kind: str, status: int) -> None:
        responses = [response({"status": "unknown"}, status), listed(kind, {"id": "X2", "name": "X1"})]
        assert delete(kind, FlowDriver(responses)) is False

    @pytest.mark.parametrize("status", [200, 400, 404, 422])
    def test_rejected_delete_fails_if_the_id_is_listed(self, kind: str, status: int) -> None:
        driver = FlowDriver([response({"status": "in use"}, status), listed(kind, {"id": "X1", "name": "mine"})])
        with pytest.raises(AkkioRequestRejectedError, match=f"Deleting {kind} 'X1': .*in use"):
            delete(kind, driver)

    @pytest.mark.parametrize(
        ("rejection", "error"),
        [
            (response({"status": "invalid api_key"}), AkkioUnauthorizedError),
            (response({"status": "missing or invalid API key"}, 404), AkkioUnauthorizedError),
            (response({}, 401), AkkioUnauthorizedError),
            (response({}, 403), AkkioForbiddenError),
        ],
    )
    def test_delete_with_a_rejected_key_fails_at_once(
        self, kind: str, rejection: Response, error: type[Exception]
    ) -> None:
        driver = FlowDriver([rejection, EMPTY])
        with pytest.raises(error):
            delete(kind, driver)
        assert len(driver.requests) == 1

    def test_404_of_a_gateway_does_not_mean_deleted(self, kind: str) -> None:
        with pytest.raises(AkkioResponseError, match="not from Akkio"):
            delete(kind, FlowDriver([GATEWAY_404]))

    def test_rejected_delete_fails_if_the_list_is_unavailable(self, kind: str) -> None:
        with pytest.raises(AkkioUnavailableError):
            delete(kind, FlowDriver([response({"status": "unknown"}), UNREACHABLE]))

    @pytest.mark.parametrize("failure", [LOST, UNREACHABLE, response({}, 500), response({}, 429)])
    def test_delete_is_retried(self, kind: str, failure: Response | TransportError) -> None:
        driver = FlowDriver([failure, DONE])
        assert delete(kind, driver) is True
        assert driver.methods == ["DELETE", "DELETE"]
