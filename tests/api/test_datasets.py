from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_akkio.api.datasets import MAX_RETRIES, SETTLING_PAUSES, Dataset
from airflow_provider_akkio.api.http import Response, TransportError
from airflow_provider_akkio.api.types import FieldType
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioResponseError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
    AkkioUploadIncompleteError,
)
from tests.api.driving import LOST, NOT_FOUND, UNREACHABLE, FlowDriver, response

DONE = response({"status": "success"})
CREATED = response({"status": "success", "dataset_id": "new"})
ROWS = [{"a": 1}, {"a": 2}]
NOT_EXECUTED = [UNREACHABLE, response({}, 429)]
CHECKS = 1 + len(SETTLING_PAUSES)


def has(rows: Any) -> Response:
    return response({"status": "success", "name": "n", "rows": rows, "fields": [{"name": "a", "type": "number"}]})


def listed(*ids: str) -> Response:
    return response({"status": "success", "datasets": [{"id": one, "name": "n"} for one in ids]})


def append(driver: FlowDriver) -> bool:
    return driver.run(lambda akkio: akkio.datasets.append("D1", ROWS, rows_before=10))


def create(driver: FlowDriver) -> tuple[str, bool]:
    return driver.run(lambda akkio: akkio.datasets.create("n"))


class TestAppend:
    def test_append_sends_all_rows_in_one_v1_request_without_the_key(self) -> None:
        driver = FlowDriver([DONE])
        assert append(driver) is False
        [request] = driver.requests
        assert (request.url, request.json) == ("https://api.akkio.com/v1/datasets", {"id": "D1", "rows": ROWS})
        assert "an-api-key" not in repr(request)

    @pytest.mark.parametrize("lost", [LOST, response({}, 500), Response(200, b"<html>"), response({}, 200)])
    def test_rows_that_arrived_are_not_sent_again(self, lost: Response | TransportError) -> None:
        driver = FlowDriver([lost, has(12)])
        assert append(driver) is True
        assert driver.methods == ["POST", "GET"]

    def test_rows_that_arrive_late_are_not_sent_again(self) -> None:
        driver = FlowDriver([LOST, has(10), has(12)])
        append(driver)
        assert driver.methods == ["POST", "GET", "GET"]

    def test_rows_that_did_not_arrive_are_sent_again_after_ten_seconds(self) -> None:
        driver = FlowDriver([LOST, *[has(10)] * CHECKS, DONE])
        assert append(driver) is True
        assert driver.methods == ["POST", *["GET"] * CHECKS, "POST"]
        assert driver.sleeps[-len(SETTLING_PAUSES) :] == list(SETTLING_PAUSES)

    def test_rows_are_counted_before_every_retry(self) -> None:
        driver = FlowDriver([LOST, *[has(10)] * CHECKS, response({}, 429, retry_after="60"), has(12)])
        append(driver)
        assert driver.methods.count("POST") == 2
        assert driver.methods[-1] == "GET"

    def test_rows_are_counted_after_the_last_attempt(self) -> None:
        driver = FlowDriver([*[LOST, *[has(10)] * CHECKS] * MAX_RETRIES, LOST, has(12)])
        assert append(driver) is True
        assert driver.methods.count("POST") == 1 + MAX_RETRIES

    def test_unexpected_row_count_is_an_error(self) -> None:
        with pytest.raises(AkkioUploadIncompleteError, match=r"'D1'.* 13 rows instead of 10 or 12"):
            append(FlowDriver([LOST, has(13)]))

    def test_unavailable_row_count_leaves_the_outcome_unknown(self) -> None:
        driver = FlowDriver([LOST, UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="unknown whether Akkio executed") as caught:
            append(driver)
        assert caught.value.outcome_is_unknown
        assert driver.methods.count("POST") == 1

    @pytest.mark.parametrize("failure", NOT_EXECUTED)
    def test_request_that_was_not_executed_is_retried_without_counting(
        self, failure: Response | TransportError
    ) -> None:
        driver = FlowDriver([failure, DONE])
        assert append(driver) is False
        assert driver.methods == ["POST", "POST"]

    def test_http_503_with_retry_after_may_have_been_executed(self) -> None:
        driver = FlowDriver([response({}, 503, retry_after="2"), has(12)])
        append(driver)
        assert driver.methods == ["POST", "GET"]
        assert driver.sleeps == [2]

    def test_append_gives_up_after_six_attempts(self) -> None:
        driver = FlowDriver([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError):
            append(driver)
        assert len(driver.requests) == 1 + MAX_RETRIES

    def test_append_is_not_retried_after_a_rejection(self) -> None:
        driver = FlowDriver([response({"status": "rows: bad"}, 422)])
        with pytest.raises(AkkioUnprocessableError, match="rows: bad"):
            append(driver)
        assert len(driver.requests) == 1


class TestCreate:
    def test_create_returns_the_id(self) -> None:
        driver = FlowDriver([listed("old"), CREATED])
        assert create(driver) == ("new", False)
        assert driver.methods == ["GET", "POST"]

    @pytest.mark.parametrize(
        "lost", [LOST, *(response({"status": "success", "dataset_id": one}) for one in (None, "", 7, "a\nb"))]
    )
    def test_dataset_whose_response_was_lost_is_found_in_the_list(self, lost: Response | TransportError) -> None:
        driver = FlowDriver([listed("old"), lost, listed("old", "new"), has(0)])
        assert create(driver) == ("new", True)
        assert driver.methods.count("POST") == 1

    def test_dataset_that_is_not_in_the_list_is_created_again(self) -> None:
        driver = FlowDriver([listed("old"), LOST, *[listed("old")] * CHECKS, CREATED])
        assert create(driver) == ("new", True)
        assert driver.methods.count("POST") == 2

    @pytest.mark.parametrize("found", [[listed("old", "new"), has(300)], [listed("old", "a", "b")]])
    def test_dataset_that_another_program_may_have_created_is_an_error(self, found: list[Response]) -> None:
        with pytest.raises(AkkioUploadIncompleteError, match=r"dataset 'n'.*another program"):
            create(FlowDriver([listed("old"), LOST, *found]))

    @pytest.mark.parametrize("failure", NOT_EXECUTED)
    def test_request_that_was_not_executed_is_retried_without_a_list(self, failure: Response | TransportError) -> None:
        driver = FlowDriver([listed("old"), failure, CREATED])
        assert create(driver) == ("new", False)
        assert driver.methods == ["GET", "POST", "POST"]

    def test_unavailable_list_leaves_the_outcome_unknown(self) -> None:
        driver = FlowDriver([listed("old"), LOST, UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="unknown whether Akkio executed") as caught:
            create(driver)
        assert caught.value.outcome_is_unknown
        assert driver.methods.count("POST") == 1

    def test_nothing_is_created_without_the_list_of_existing_datasets(self) -> None:
        driver = FlowDriver([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="List of datasets"):
            create(driver)
        assert set(driver.methods) == {"GET"}


class TestSetFieldTypes:
    def set_field_types(self, driver: FlowDriver) -> None:
        driver.run(lambda akkio: akkio.datasets.set_field_types("D1", {"a": FieldType.FLOAT, "b": FieldType.STRING}))

    def test_all_types_are_sent_in_one_request(self) -> None:
        driver = FlowDriver([DONE])
        self.set_field_types(driver)
        [request] = driver.requests
        fields = [{"name": "a", "type": "float", "valid": True}, {"name": "b", "type": "string", "valid": True}]
        assert (request.method, request.json) == ("POST", {"id": "D1", "fields": fields})

    def test_types_are_sent_again_after_any_failure(self) -> None:
        driver = FlowDriver([LOST, response({}, 500), DONE])
        self.set_field_types(driver)
        assert driver.methods == ["POST"] * 3

    def test_rejected_type_is_an_error(self) -> None:
        with pytest.raises(AkkioUnprocessableError, match=r"field types of dataset 'D1'.*no field 'b'"):
            self.set_field_types(FlowDriver([response({"status": "no field 'b'"}, 422)]))


class TestParseFields:
    def test_parse_is_repeated_after_any_failure(self) -> None:
        driver = FlowDriver([LOST, response({}, 500), DONE])
        driver.run(lambda akkio: akkio.datasets.parse_fields("D1"))
        assert [request.json for request in driver.requests] == [{"id": "D1", "parse_fields": True}] * 3


class TestGet:
    def test_get_returns_the_row_count_and_the_fields(self) -> None:
        driver = FlowDriver([has(887)])
        found = driver.run(lambda akkio: akkio.datasets.get("a/b?c"))
        assert (found.rows, [(field.name, field.type) for field in found.fields]) == (887, [("a", "number")])
        assert driver.requests[0].url == "https://api.akkio.com/v1/datasets?id=a%2Fb%3Fc"

    @pytest.mark.parametrize("rows", [None, -1, True, "12"])
    def test_missing_or_invalid_row_count_is_an_error(self, rows: Any) -> None:
        with pytest.raises(AkkioResponseError, match="'rows'"):
            Dataset.from_json("D1", {"rows": rows})

    @pytest.mark.parametrize("fields", [None, "a", [7, {}, {"name": None}]])
    def test_invalid_fields_are_ignored(self, fields: Any) -> None:
        assert Dataset.from_json("D1", {"rows": 0, "fields": fields}) == Dataset("D1", "", 0, ())

    def test_unknown_dataset_is_not_found(self) -> None:
        with pytest.raises(AkkioNotFoundError):
            FlowDriver([NOT_FOUND]).run(lambda akkio: akkio.datasets.get("D1"))
