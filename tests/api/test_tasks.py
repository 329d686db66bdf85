from __future__ import annotations

import itertools
import logging
from dataclasses import replace

import pytest

from airflow_provider_akkio.api.http import Response, TransportError
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.requester import MetricName
from airflow_provider_akkio.api.types import UNKNOWN_STATE, AkkioTask, AkkioTaskState
from airflow_provider_akkio.exceptions import (
    AkkioForbiddenError,
    AkkioNotFoundError,
    AkkioResponseError,
    AkkioSubmissionUnknownError,
    AkkioTrainingFailedError,
    AkkioTrainingTimeoutError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
    AkkioUntrustedUrlError,
)
from tests.api.driving import (
    GATEWAY_404,
    LOST,
    MODEL,
    NOT_FOUND,
    STARTED_AT,
    UNREACHABLE,
    FlowDriver,
    response,
    status,
)

TRAINING = AkkioTask("T1", STARTED_AT)
FRESH = replace(TRAINING, duration=10)
DEADLINE = STARTED_AT + 1000
ACCEPTED = response({"task_id": "T1"}, 201)
REJECTIONS = {
    401: AkkioUnauthorizedError,
    403: AkkioForbiddenError,
    422: AkkioUnprocessableError,
    302: AkkioUntrustedUrlError,
}
NO_RESULTS = [
    *(NOT_FOUND, GATEWAY_404, LOST, response({}), response({"detail": "not ready"}, 409)),
    *(Response(code) for code in (302, 403, 422, 429, 500)),
]
UNKNOWN_OUTCOMES = [
    LOST,
    *(Response(code) for code in (500, 502, 503, 504)),
    *(Response(201, body) for body in (b"<html>", b"{}", b"[]", b'{"task_id": 7}')),
    Response(201, b'{"task', defect="was cut short"),
]


def submit(driver: FlowDriver, **parameters: object) -> AkkioTask:
    request = TrainRequest(dataset_id="D1", **parameters)
    return driver.run(lambda akkio: akkio.submit(request))


def poll(
    driver: FlowDriver,
    deadline: float = DEADLINE,
    poll_interval: float | None = None,
    training: AkkioTask = TRAINING,
) -> str | None:
    return driver.run(lambda akkio: akkio.poll_until_done(training, deadline, poll_interval)).location


class TestSubmit:
    @pytest.mark.parametrize("code", [200, 201, 202])
    def test_any_success_with_a_task_id_is_accepted(self, code: int) -> None:
        assert submit(FlowDriver([response({"task_id": "T1"}, code)]), duration=300) == replace(FRESH, duration=300)

    @pytest.mark.parametrize("force", [True, False])
    def test_submission_that_was_not_sent_is_retried_five_times(self, force: bool) -> None:
        driver = FlowDriver([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match=r"connection to https://api.akkio.com failed"):
            submit(driver, force=force)
        assert len(driver.requests) == 6
        assert all(1 <= seconds <= 60 for seconds in driver.sleeps)

    @pytest.mark.parametrize("outcome", UNKNOWN_OUTCOMES)
    def test_unknown_outcome_is_retried_without_force(self, outcome: Response) -> None:
        driver = FlowDriver([outcome, ACCEPTED])
        assert submit(driver, force=False) == AkkioTask("T1", driver.now, 10)
        assert len(driver.requests) == 2

    @pytest.mark.parametrize("outcome", UNKNOWN_OUTCOMES)
    def test_unknown_outcome_is_final_with_force(self, outcome: Response) -> None:
        driver = FlowDriver([outcome, ACCEPTED])
        with pytest.raises(AkkioSubmissionUnknownError, match="not submitted again"):
            submit(driver, force=True)
        assert len(driver.requests) == 1

    def test_unknown_outcome_is_final_with_force_after_a_harmless_failure(self) -> None:
        driver = FlowDriver([UNREACHABLE, LOST, ACCEPTED])
        with pytest.raises(AkkioSubmissionUnknownError):
            submit(driver, force=True)
        assert len(driver.requests) == 2

    @pytest.mark.parametrize("force", [True, False])
    def test_submission_that_a_gateway_did_not_forward_is_retried(self, force: bool) -> None:
        driver = FlowDriver([GATEWAY_404, ACCEPTED])
        submit(driver, force=force)
        assert len(driver.requests) == 2

    @pytest.mark.parametrize("throttled", [Response(429, retry_after="7"), Response(503, retry_after="7")])
    def test_rate_limited_submission_is_retried_after_retry_after(self, throttled: Response) -> None:
        driver = FlowDriver([throttled] * 20 + [ACCEPTED])
        submit(driver, force=True)
        assert driver.sleeps == [7.0] * 20

    def test_rate_limited_submission_gives_up_after_an_hour(self) -> None:
        driver = FlowDriver([Response(429, retry_after="300")])
        with pytest.raises(AkkioUnavailableError, match="HTTP 429"):
            submit(driver)
        assert sum(driver.sleeps) == pytest.approx(3600)

    @pytest.mark.parametrize(("code", "error"), [*REJECTIONS.items(), (404, AkkioNotFoundError)])
    def test_rejected_submission_is_not_retried(self, code: int, error: type[Exception]) -> None:
        driver = FlowDriver([response({"detail": "no"}, code), ACCEPTED])
        with pytest.raises(error, match="dataset 'D1'"):
            submit(driver)
        assert len(driver.requests) == 1

    def test_log_has_the_retry_and_the_training(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            submit(FlowDriver([Response(429, retry_after="4"), ACCEPTED]), predict_fields=["a", "b"], duration=60)
        retry, submitted = caplog.messages
        assert "rate limited by Akkio (HTTP 429); retrying in 4 s" in retry
        assert all(part in submitted for part in ("training T1", "dataset D1", "a, b", "60 s"))


class TestPollUntilDone:
    @pytest.mark.parametrize("first", ["PENDING", "SUBMITTED"])
    def test_location_of_the_result_is_returned(self, first: str) -> None:
        responses = [status(first), status("IN_PROGRESS", estimate_seconds=5), status("SUCCEEDED", location="/x")]
        driver = FlowDriver(responses)
        assert poll(driver, training=FRESH) == "/x"
        assert driver.paths == ["status"] * 3

    def test_interval_grows_without_an_estimate_or_a_duration(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS")] * 60 + [status("SUCCEEDED")])
        poll(driver)
        assert driver.sleeps[:2] == [2.0, 1.0]
        assert driver.sleeps[1:] == sorted(driver.sleeps[1:])
        assert driver.sleeps[-1] == pytest.approx(0.05 * (driver.now - driver.sleeps[-1] - STARTED_AT))

    @pytest.mark.parametrize(
        ("training", "now", "sleeps"),
        [(FRESH, 0.5, [1.5]), (FRESH, -600.0, [2.0]), (FRESH, 2.0, []), (FRESH, 500.0, []), (TRAINING, 0.5, [])],
    )
    def test_first_poll_waits_only_after_an_own_and_recent_submission(
        self, training: AkkioTask, now: float, sleeps: list[float]
    ) -> None:
        driver = FlowDriver([status("SUCCEEDED")], now=STARTED_AT + now)
        poll(driver, training=training)
        assert driver.sleeps == sleeps

    @pytest.mark.parametrize("deadline", [STARTED_AT - 5, STARTED_AT, STARTED_AT + 0.5])
    def test_first_poll_comes_no_later_than_the_deadline(self, deadline: float) -> None:
        driver = FlowDriver([status("IN_PROGRESS")])
        with pytest.raises(AkkioTrainingTimeoutError):
            poll(driver, deadline, training=FRESH)
        assert driver.sent_at == [max(deadline, STARTED_AT)]
        assert all(seconds >= 0 for seconds in driver.sleeps)

    @pytest.mark.parametrize(
        ("duration", "seconds_per_round", "polls"),
        [(300, 0.0, [2, 35.5, 88, 96, 104]), (10, 90.0, [2, 88, 96])],
        ids=["estimate", "round"],
    )
    def test_schedule_follows_the_estimate_and_the_round(
        self, duration: int, seconds_per_round: float, polls: list[float]
    ) -> None:
        running = [status("IN_PROGRESS", estimate_seconds=100)] * (len(polls) - 1)
        driver = FlowDriver([*running, status("SUCCEEDED")], seconds_per_round=seconds_per_round)
        poll(driver, training=replace(FRESH, duration=duration))
        assert [at - STARTED_AT for at in driver.sent_at] == pytest.approx(polls)

    def test_schedule_starts_when_the_training_was_last_seen_waiting(self) -> None:
        running = [status("IN_PROGRESS", estimate_seconds=100)] * 2
        driver = FlowDriver([*[status("PENDING")] * 3, *running, status("SUCCEEDED")])
        poll(driver, training=FRESH)
        polls = [2, 3, 4.5, 6.75, 4.5 + 35.5, 4.5 + 88]
        assert [at - STARTED_AT for at in driver.sent_at] == pytest.approx(polls)

    def test_last_poll_comes_at_the_deadline(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS", estimate_seconds=7000)])
        with pytest.raises(AkkioTrainingTimeoutError):
            poll(driver, training=FRESH)
        assert [at - STARTED_AT for at in driver.sent_at] == [2, 1000]

    def test_polls_have_a_due_time_and_other_requests_have_none(self) -> None:
        submitting = FlowDriver([ACCEPTED])
        training = submit(submitting)
        driver = FlowDriver([status("IN_PROGRESS"), LOST, NOT_FOUND, MODEL])
        poll(driver, training=training)
        first, second = STARTED_AT + 2, STARTED_AT + 4
        due_at = [request.due_at for request in submitting.requests + driver.requests]
        assert due_at == [0, first, second, second, 0]
        assert driver.sent_at[2] > second, "a retried poll keeps its due time"

    def test_poll_interval_overrides_the_schedule(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS")] * 5 + [status("SUCCEEDED")])
        poll(driver, poll_interval=0.5, training=FRESH)
        assert driver.sleeps == [0.5] * 5

    def test_on_status_is_called_after_each_poll(self) -> None:
        states: list[AkkioTaskState] = []
        driver = FlowDriver([status("PENDING"), NOT_FOUND, LOST, status("IN_PROGRESS"), status("SUCCEEDED")])
        driver.run(lambda akkio: akkio.poll_until_done(TRAINING, DEADLINE, on_status=states.append))
        assert [state.status for state in states] == ["PENDING", "IN_PROGRESS", "SUCCEEDED"]

    @pytest.mark.parametrize("name", ["FAILED", "UNKNOWN_TIMEOUT"])
    @pytest.mark.parametrize(("error", "reason"), [("too few rows", "too few rows"), (None, "no reason")])
    def test_failed_training_raises_the_reason(self, name: str, error: str | None, reason: str) -> None:
        with pytest.raises(AkkioTrainingFailedError, match=f"Training T1 .*{name}: .*{reason}"):
            poll(FlowDriver([status(name, error=error)]))

    def test_undocumented_status_is_logged_once_and_polling_continues(self, caplog: pytest.LogCaptureFixture) -> None:
        odd = [status("CELEBRATING"), status("IN_PROGRESS"), status("CELEBRATING"), status("CELEBRATING")]
        poll(FlowDriver([*odd, status("SUCCEEDED")]))
        [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "'CELEBRATING'" in warning.getMessage()

    def test_error_instead_of_a_status_ends_the_wait_with_its_message(self) -> None:
        error = response({"status": "error", "message": "organization is suspended"})
        driver = FlowDriver([status("IN_PROGRESS"), error])
        with pytest.raises(AkkioResponseError, match=r"Status of training T1: .*organization is suspended"):
            poll(driver, deadline=STARTED_AT + 86400)
        assert driver.now < STARTED_AT + 600

    def test_wait_survives_an_error_instead_of_a_status(self) -> None:
        error = response({"status": "error", "message": "try again"})
        assert poll(FlowDriver([*[error] * 9, status("SUCCEEDED", location="/x")])) == "/x"

    def test_timeout_names_the_last_status_and_the_sensor(self) -> None:
        driver = FlowDriver([status("PENDING"), NOT_FOUND, status("IN_PROGRESS")])
        with pytest.raises(AkkioTrainingTimeoutError, match=r"T1 .*within 1000 s .*IN_PROGRESS.*AkkioTrainSensor"):
            poll(driver)
        assert driver.now == DEADLINE

    @pytest.mark.parametrize("deadline", [STARTED_AT - 5, STARTED_AT + 1])
    def test_training_that_ends_before_the_last_poll_succeeds(self, deadline: float) -> None:
        running = [status("IN_PROGRESS")] * (deadline > STARTED_AT)
        driver = FlowDriver([*running, status("SUCCEEDED", location="/x")])
        assert poll(driver, deadline) == "/x"
        assert driver.now == max(deadline, STARTED_AT)

    def test_polling_continues_after_a_day_of_failures(self) -> None:
        failures = itertools.islice(itertools.cycle([UNREACHABLE, LOST, Response(500), Response(429)]), 500)
        driver = FlowDriver([*failures, status("SUCCEEDED", location="/x")])
        assert poll(driver, deadline=STARTED_AT + 86400) == "/x"
        assert len(driver.requests) == 501

    @pytest.mark.parametrize(
        ("responses", "reason"),
        [
            ([status("IN_PROGRESS"), Response(502)], r"IN_PROGRESS.*last poll failed.*HTTP 502"),
            ([NOT_FOUND, Response(503)], r"last poll failed: Result of training T1.*HTTP 503"),
        ],
    )
    def test_timeout_names_the_failure_of_the_last_poll(self, responses: list[Response], reason: str) -> None:
        with pytest.raises(AkkioTrainingTimeoutError, match=reason):
            poll(FlowDriver(responses))

    def test_polling_stops_after_ten_consecutive_invalid_responses(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS"), Response(200, b"<html>hello")])
        with pytest.raises(AkkioResponseError, match="<html>hello"):
            poll(driver)
        assert len(driver.requests) == 11

    def test_polling_continues_if_invalid_responses_are_not_consecutive(self) -> None:
        invalid = [Response(200, b"<html>")] * 9
        assert poll(FlowDriver([*invalid, Response(500), *invalid, status("SUCCEEDED", location="/x")])) == "/x"

    @pytest.mark.parametrize(("code", "error"), REJECTIONS.items())
    def test_rejected_poll_is_not_retried(self, code: int, error: type[Exception]) -> None:
        driver = FlowDriver([status("IN_PROGRESS"), Response(code)])
        with pytest.raises(error):
            poll(driver)
        assert len(driver.requests) == 2

    def test_deleted_status_is_replaced_by_the_result(self) -> None:
        driver = FlowDriver([NOT_FOUND, MODEL])
        assert poll(driver) is None
        assert driver.paths == ["status", "result"]

    def test_training_without_status_and_result_is_not_found(self) -> None:
        with pytest.raises(AkkioNotFoundError, match="neither a status nor a result of training T1"):
            poll(FlowDriver([NOT_FOUND]))

    def test_404_of_a_gateway_does_not_end_the_wait(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS"), *[GATEWAY_404] * 9, status("SUCCEEDED", location="/x")])
        assert poll(driver) == "/x"

    def test_polling_stops_after_ten_404s_of_a_gateway(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS"), GATEWAY_404])
        with pytest.raises(AkkioResponseError, match=r"training T1: HTTP 404, and the response is not from Akkio"):
            poll(driver)
        assert len(driver.requests) == 11

    def test_rate_limited_poll_waits_at_least_a_second(self) -> None:
        driver = FlowDriver([Response(429, retry_after="0")] * 3 + [status("SUCCEEDED")])
        poll(driver)
        assert driver.sleeps == [1.0] * 3

    def test_training_that_is_pending_again_is_looked_up_by_its_result(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS"), status("PENDING"), MODEL])
        assert poll(driver) is None
        assert driver.paths == ["status", "status", "result"]

    @pytest.mark.parametrize("no_result", NO_RESULTS)
    def test_training_that_is_pending_again_without_a_result_is_polled(
        self, no_result: Response | TransportError
    ) -> None:
        responses = [status("IN_PROGRESS"), status("SUBMITTED"), no_result, status("SUCCEEDED", location="/x")]
        assert poll(FlowDriver(responses)) == "/x"

    @pytest.mark.parametrize("first", [[], [status("CELEBRATING")], [LOST]])
    @pytest.mark.parametrize("name", ["PENDING", "SUBMITTED"])
    def test_waiting_training_of_unknown_age_is_looked_up_by_its_result(self, first: list[Response], name: str) -> None:
        driver = FlowDriver([*first, status(name), MODEL])
        assert poll(driver) is None
        assert driver.paths == ["status"] * len(first) + ["status", "result"]

    @pytest.mark.parametrize("no_answer", [[], *([one] for one in NO_RESULTS if one is not NOT_FOUND)])
    def test_waiting_training_of_unknown_age_is_looked_up_until_akkio_has_no_result(
        self, no_answer: list[Response]
    ) -> None:
        waiting = status("PENDING")
        looked_up = [step for one in no_answer for step in (waiting, one)]
        driver = FlowDriver([*looked_up, waiting, NOT_FOUND, waiting, status("SUCCEEDED", location="/x")])
        assert poll(driver) == "/x"
        assert driver.paths == ["status", "result"] * (len(no_answer) + 1) + ["status", "status"]

    def test_waiting_training_is_looked_up_before_the_timeout(self) -> None:
        driver = FlowDriver([*[status("PENDING")] * 4, MODEL])
        assert poll(driver, STARTED_AT + 5, training=FRESH) is None
        assert driver.paths == ["status"] * 4 + ["result"]
        assert driver.now == STARTED_AT + 5

    @pytest.mark.parametrize("no_result", NO_RESULTS)
    def test_waiting_training_without_a_result_times_out(self, no_result: Response | TransportError) -> None:
        driver = FlowDriver([*[status("PENDING")] * 4, no_result])
        with pytest.raises(AkkioTrainingTimeoutError, match="last status: PENDING"):
            poll(driver, STARTED_AT + 5, training=FRESH)
        assert driver.paths == ["status"] * 4 + ["result"]

    def test_result_is_not_looked_up_after_a_failed_last_poll(self) -> None:
        driver = FlowDriver([*[status("PENDING")] * 3, Response(502)])
        with pytest.raises(AkkioTrainingTimeoutError, match="last status: PENDING"):
            poll(driver, STARTED_AT + 5, training=FRESH)
        assert driver.paths == ["status"] * 4

    def test_single_poll_finds_the_result_of_a_waiting_training(self) -> None:
        driver = FlowDriver([status("PENDING"), MODEL])
        assert poll(driver, STARTED_AT) is None
        assert (driver.paths, driver.sleeps) == (["status", "result"], [])

    @pytest.mark.parametrize(
        ("name", "paths"),
        [("PENDING", ["status", "result"]), ("SUBMITTED", ["status", "result"]), ("IN_PROGRESS", ["status"])],
    )
    def test_single_poll_requests_the_result_once_and_only_if_waiting(self, name: str, paths: list[str]) -> None:
        driver = FlowDriver([status(name), NOT_FOUND])
        with pytest.raises(AkkioTrainingTimeoutError, match=name):
            poll(driver, STARTED_AT)
        assert (driver.paths, driver.sleeps) == (paths, [])


class TestResult:
    def test_result_is_fetched_from_its_location(self) -> None:
        driver = FlowDriver([MODEL])
        result = driver.run(lambda akkio: akkio.result("T1", "/models/train/T1/elsewhere"))
        assert result.model_id == "M1"
        assert driver.requests[0].url == "https://api.akkio.com/api/v1/models/train/T1/elsewhere"

    @pytest.mark.parametrize(
        "missing", [NOT_FOUND, GATEWAY_404, Response(302), Response(400), Response(403), Response(404, b"{}")]
    )
    def test_documented_url_replaces_a_location_without_a_result(
        self, missing: Response, caplog: pytest.LogCaptureFixture
    ) -> None:
        driver = FlowDriver([missing, MODEL])
        assert driver.run(lambda akkio: akkio.result("T1", "/models/train/T1/elsewhere")).model_id == "M1"
        assert driver.paths == ["elsewhere", "result"]
        [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "Training T1: " in warning.getMessage()
        assert f"HTTP {missing.status}" in warning.getMessage()

    @pytest.mark.parametrize("location", ["https://evil.example/api/v1/x", "//evil.example/x", "/api/v1/../v1/models"])
    def test_location_outside_the_api_root_is_not_requested(
        self, location: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        driver = FlowDriver([MODEL])
        assert driver.run(lambda akkio: akkio.result("T1", location)).model_id == "M1"
        assert [request.url for request in driver.requests] == ["https://api.akkio.com/api/v1/models/train/T1/result"]
        [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert location in warning.getMessage()

    @pytest.mark.parametrize(
        ("location", "paths"),
        [
            ("/models/train/T1/elsewhere", ["elsewhere", "result"]),
            ("https://evil.example/x", ["result"]),
            ("/api/v1/models/train/T1/result", ["result"]),
            (None, ["result"]),
        ],
    )
    def test_result_is_not_found_after_the_documented_url(self, location: str | None, paths: list[str]) -> None:
        driver = FlowDriver([NOT_FOUND])
        with pytest.raises(AkkioNotFoundError, match="Result of training T1"):
            driver.run(lambda akkio: akkio.result("T1", location))
        assert driver.paths == paths

    @pytest.mark.parametrize(("code", "error"), REJECTIONS.items())
    def test_rejected_result_is_an_error(self, code: int, error: type[Exception]) -> None:
        driver = FlowDriver([Response(code)])
        with pytest.raises(error):
            driver.run(lambda akkio: akkio.result("T1", "/models/train/T1/elsewhere"))
        assert driver.paths == ["elsewhere", "result"]

    @pytest.mark.parametrize("invalid", [response({}), Response(200, b"<html>")])
    def test_documented_url_replaces_an_invalid_location_at_once(self, invalid: Response) -> None:
        driver = FlowDriver([invalid, MODEL])
        assert driver.run(lambda akkio: akkio.result("T1", "/models/train/T1/elsewhere")).model_id == "M1"
        assert driver.sleeps == []

    @pytest.mark.parametrize("invalid", [Response(200, b"<html>"), GATEWAY_404, Response(200, b"{", defect="was cut")])
    def test_invalid_location_is_requested_again_if_only_it_can_have_the_result(self, invalid: Response) -> None:
        driver = FlowDriver([invalid, NOT_FOUND, MODEL])
        assert driver.run(lambda akkio: akkio.result("T1", "/models/train/T1/elsewhere")).model_id == "M1"
        assert driver.paths == ["elsewhere", "result", "elsewhere"]

    @pytest.mark.parametrize(("deadline", "seconds"), [(None, 300), (STARTED_AT + 50, 50)])
    def test_result_is_retried_until_the_deadline(self, deadline: float | None, seconds: float) -> None:
        driver = FlowDriver([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="Result of training T1"):
            driver.run(lambda akkio: akkio.result("T1", deadline=deadline))
        assert driver.now == pytest.approx(STARTED_AT + seconds)

    def test_result_without_a_model_shows_the_response(self) -> None:
        with pytest.raises(AkkioResponseError, match=r"'model_id'.*{\"status\": \"success\"}"):
            FlowDriver([response({"status": "success"})]).run(lambda akkio: akkio.result("T1"))

    def test_id_cannot_change_the_path(self) -> None:
        driver = FlowDriver([MODEL])
        driver.run(lambda akkio: akkio.result("../../v1/models?x=/"))
        assert driver.requests[0].url.endswith("/train/..%2F..%2Fv1%2Fmodels%3Fx%3D%2F/result")
        with pytest.raises(AkkioUntrustedUrlError):
            driver.run(lambda akkio: akkio.result(".."))


class TestTestConnection:
    @pytest.mark.parametrize(
        ("received", "paths"),
        [
            *((received, ["status"]) for received in (status("PENDING"), status("SUBMITTED"))),
            *(
                (received, ["status", "datasets"])
                for received in (NOT_FOUND, response({"status": "no such training"}, 404), status("WAITING"))
            ),
        ],
    )
    def test_response_about_an_unknown_training_is_a_success(self, received: Response, paths: list[str]) -> None:
        driver = FlowDriver([received, response({"status": "success", "datasets": []})])
        driver.run(lambda akkio: akkio.test_connection())
        assert driver.paths == paths
        assert set(driver.methods) == {"GET"}

    @pytest.mark.parametrize(
        "received", [response({"detail": "Not Found"}, 404), response({"status": "ok"}), response({"status": "UP"})]
    )
    def test_server_without_datasets_is_not_akkio(self, received: Response) -> None:
        driver = FlowDriver([received, response({"detail": "Not Found"}, 404)])
        with pytest.raises(
            AkkioUnavailableError, match=r"another server\. Check the host of connection 'akkio_default'"
        ):
            driver.run(lambda akkio: akkio.test_connection())

    @pytest.mark.parametrize(
        "received",
        [
            GATEWAY_404,
            *(Response(404, body) for body in (b"", b"404 page not found", b"[]", b"{}", b'"detail"', b'{"detail": "')),
            *(response(body, 404) for body in ({"message": "no Route matched"}, {"status": 404, "path": "/"})),
        ],
    )
    def test_404_of_another_server_is_an_error(self, received: Response) -> None:
        driver = FlowDriver([received])
        with pytest.raises(AkkioUnavailableError, match=r"not from Akkio\. Check the host of .*'akkio_default'"):
            driver.run(lambda akkio: akkio.test_connection())
        assert len(driver.requests) == 1

    def test_response_from_another_server_is_an_error(self) -> None:
        with pytest.raises(AkkioUnavailableError):
            FlowDriver([Response(200, b"<html>It works!")]).run(lambda akkio: akkio.test_connection())

    @pytest.mark.parametrize("code", [400, 401, 404])
    def test_text_about_the_key_is_an_unauthorized_error(self, code: int) -> None:
        received = response({"status": "missing or invalid API key"}, code)
        with pytest.raises(AkkioUnauthorizedError, match="Check the password of connection 'akkio_default'"):
            FlowDriver([received]).run(lambda akkio: akkio.test_connection())


def resumable_state(
    *responses: Response | TransportError, after: float = 60.0
) -> tuple[AkkioTaskState | None, list[str]]:
    driver = FlowDriver(responses, now=STARTED_AT + after)
    return driver.run(lambda akkio: akkio.get_resumable_state(TRAINING)), driver.paths


class TestGetResumableState:
    @pytest.mark.parametrize(
        ("received", "state"),
        [
            (status("IN_PROGRESS", estimate_seconds=60), AkkioTaskState("IN_PROGRESS", 60.0)),
            (status("SUCCEEDED", location="/x"), AkkioTaskState("SUCCEEDED", location="/x")),
            (status("RESTING"), AkkioTaskState("RESTING")),
            (status("FAILED"), None),
            (status("UNKNOWN_TIMEOUT"), None),
        ],
    )
    def test_state_is_the_status_unless_the_training_failed(
        self, received: Response, state: AkkioTaskState | None
    ) -> None:
        assert resumable_state(received) == (state, ["status"])

    @pytest.mark.parametrize("gone", [NOT_FOUND, status("PENDING"), status("SUBMITTED")])
    def test_result_is_looked_up_if_the_status_may_be_deleted(self, gone: Response) -> None:
        assert resumable_state(gone, MODEL) == (AkkioTaskState("SUCCEEDED"), ["status", "result"])

    def test_unknown_training_is_not_found(self) -> None:
        with pytest.raises(AkkioNotFoundError, match="neither a status nor a result of training T1"):
            resumable_state(NOT_FOUND, NOT_FOUND)

    def test_training_that_is_pending_for_over_a_day_is_lost(self) -> None:
        assert resumable_state(status("PENDING"), NOT_FOUND, after=86_000)[0] == AkkioTaskState("PENDING")
        assert resumable_state(status("PENDING"), NOT_FOUND, after=87_000)[0] is None

    @pytest.mark.parametrize(
        "responses",
        [[UNREACHABLE], [LOST], [Response(500)], [Response(200, b"<html>")], [GATEWAY_404], [NOT_FOUND, LOST]]
        + [[status("PENDING"), one] for one in (LOST, Response(503), GATEWAY_404)],
    )
    def test_state_is_unknown_while_akkio_is_unavailable(self, responses: list[Response]) -> None:
        state, paths = resumable_state(*responses, after=200_000)
        assert state == UNKNOWN_STATE
        assert len(paths) == len(responses)

    @pytest.mark.parametrize(("code", "error"), REJECTIONS.items())
    def test_rejection_is_an_error(self, code: int, error: type[Exception]) -> None:
        with pytest.raises(error):
            resumable_state(Response(code))


class TestMetrics:
    def test_polls_and_failed_polls_are_counted(self) -> None:
        failures = [LOST, Response(500), Response(200, b"<html>")]
        driver = FlowDriver([*failures, status("IN_PROGRESS"), status("SUCCEEDED")])
        poll(driver)
        assert driver.metrics.counts == {MetricName.POLLS: 5, MetricName.POLL_ERRORS: 3}

    def test_every_rate_limited_request_is_counted(self) -> None:
        throttled = [Response(429), Response(503, retry_after="1")]
        submitting = FlowDriver([*throttled, ACCEPTED])
        submit(submitting)
        assert submitting.metrics.counts == {MetricName.RATE_LIMITED: 2}
        polling = FlowDriver([*throttled, status("SUCCEEDED")])
        poll(polling)
        assert polling.metrics.counts == {
            MetricName.POLLS: 3,
            MetricName.POLL_ERRORS: 2,
            MetricName.RATE_LIMITED: 2,
        }

    def test_success_is_timed(self) -> None:
        driver = FlowDriver([status("IN_PROGRESS", estimate_seconds=100)] * 3 + [status("SUCCEEDED")])
        poll(driver, training=FRESH)
        assert driver.metrics.timings == {
            MetricName.TRAINING_SECONDS: [pytest.approx(96)],
            MetricName.DETECTION_DELAY_SECONDS: [pytest.approx(8)],
        }

    @pytest.mark.parametrize("training", [TRAINING, FRESH])
    def test_failure_is_not_timed(self, training: AkkioTask) -> None:
        driver = FlowDriver([status("FAILED")])
        with pytest.raises(AkkioTrainingFailedError):
            poll(driver, training=training)
        assert driver.metrics.timings == {}
