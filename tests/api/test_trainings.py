"""When a failure is tried again, and how a training's end is found."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace

import pytest

from airflow_provider_akkio.api.http import Response, TransportError
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.requester import MetricName
from airflow_provider_akkio.api.types import SubmittedTraining, TrainingState
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
from tests.api.driving import LOST, MODEL, NOT_FOUND, STARTED_AT, UNREACHABLE, Talk, answer, status

TRAINING = SubmittedTraining("T1", STARTED_AT)
FRESH = replace(TRAINING, duration=10)
DEADLINE = STARTED_AT + 1000
ACCEPTED = answer({"task_id": "T1"}, 201)
REFUSALS = {
    401: AkkioUnauthorizedError,
    403: AkkioForbiddenError,
    422: AkkioUnprocessableError,
    302: AkkioUntrustedUrlError,
}
UNKNOWN_OUTCOMES = [
    LOST,
    Response(500),
    Response(502),
    Response(503),
    Response(504),
    Response(201, b"<html>"),
    Response(201, b"{}"),
    Response(201, b"[]"),
    Response(201, b'{"task_id": 7}'),
    Response(201, b'{"task', defect="was cut short"),
]


def submit(talk: Talk, **parameters: object) -> SubmittedTraining:
    request = TrainRequest(dataset_id="D1", **parameters)
    return talk.hold(lambda akkio: akkio.submit(request))


def wait(
    talk: Talk,
    deadline: float = DEADLINE,
    poll_interval: float | None = None,
    training: SubmittedTraining = TRAINING,
) -> str | None:
    return talk.hold(lambda akkio: akkio.wait(training, deadline, poll_interval)).location


class TestSubmitting:
    def test_an_accepted_training_counts_from_akkios_answer(self) -> None:
        assert submit(Talk([ACCEPTED])) == FRESH

    @pytest.mark.parametrize("code", [200, 201, 202])
    def test_any_success_with_a_task_id_is_an_acceptance(self, code: int) -> None:
        assert submit(Talk([answer({"task_id": "T1"}, code)]), duration=300) == replace(FRESH, duration=300)

    @pytest.mark.parametrize("force", [True, False])
    def test_is_tried_again_five_times_if_nothing_was_sent(self, force: bool) -> None:
        talk = Talk([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match=r"no answer from https://api.akkio.com"):
            submit(talk, force=force)
        assert len(talk.requests) == 6
        assert all(1 <= pause <= 60 for pause in talk.pauses)

    @pytest.mark.parametrize("outcome", UNKNOWN_OUTCOMES)
    def test_is_repeated_after_an_unknown_outcome_if_akkio_then_gives_the_same_model(self, outcome: Response) -> None:
        talk = Talk([outcome, ACCEPTED])
        assert submit(talk, force=False) == SubmittedTraining("T1", talk.now, 10)
        assert len(talk.requests) == 2

    @pytest.mark.parametrize("outcome", UNKNOWN_OUTCOMES)
    def test_is_never_repeated_after_an_unknown_outcome_if_that_could_bill_twice(self, outcome: Response) -> None:
        talk = Talk([outcome, ACCEPTED])
        with pytest.raises(AkkioSubmissionUnknownError, match="not submitted again"):
            submit(talk, force=True)
        assert len(talk.requests) == 1

    def test_a_failure_that_started_nothing_does_not_make_a_later_unknown_one_harmless(self) -> None:
        talk = Talk([UNREACHABLE, LOST, ACCEPTED])
        with pytest.raises(AkkioSubmissionUnknownError):
            submit(talk, force=True)
        assert len(talk.requests) == 2

    @pytest.mark.parametrize("throttled", [Response(429, retry_after="7"), Response(503, retry_after="7")])
    def test_waits_as_long_as_akkio_asks_however_often(self, throttled: Response) -> None:
        talk = Talk([throttled] * 20 + [ACCEPTED])
        submit(talk, force=True)
        assert talk.pauses == [7.0] * 20

    def test_gives_up_on_an_akkio_that_asks_to_wait_for_over_an_hour(self) -> None:
        talk = Talk([Response(429, retry_after="300")])
        with pytest.raises(AkkioUnavailableError, match="fewer requests"):
            submit(talk)
        assert sum(talk.pauses) == pytest.approx(3600)

    @pytest.mark.parametrize(("code", "error"), [*REFUSALS.items(), (404, AkkioNotFoundError)])
    def test_a_refusal_is_final(self, code: int, error: type[Exception]) -> None:
        talk = Talk([Response(code), ACCEPTED])
        with pytest.raises(error, match="dataset 'D1'"):
            submit(talk)
        assert len(talk.requests) == 1

    def test_the_log_tells_what_was_accepted(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            submit(Talk([ACCEPTED]), predict_fields=["a", "b"], duration=60)
            submit(Talk([ACCEPTED]))
        assert caplog.messages == [
            "Akkio accepted training T1: dataset D1, predicting a, b, 60 s.",
            "Akkio accepted training T1: dataset D1, predicting what Akkio chooses, 10 s.",
        ]


class TestWaiting:
    @pytest.mark.parametrize("first", ["PENDING", "SUBMITTED"])
    def test_goes_through_the_statuses_of_either_dialect(self, first: str) -> None:
        talk = Talk([status(first), status("IN_PROGRESS", estimate_seconds=5), status("SUCCEEDED", location="/x")])
        assert wait(talk) == "/x"

    def test_polls_less_and_less_often_where_nothing_tells_when_the_end_is_to_come(self) -> None:
        talk = Talk([status("IN_PROGRESS")] * 60 + [status("SUCCEEDED")])
        wait(talk)
        assert talk.pauses[:2] == [2.0, 1.0]
        assert talk.pauses[1:] == sorted(talk.pauses[1:])
        assert talk.pauses[-1] == pytest.approx(0.05 * (talk.now - talk.pauses[-1] - STARTED_AT))

    def test_asks_first_two_seconds_after_the_submission(self) -> None:
        talk = Talk([status("SUCCEEDED")], now=STARTED_AT + 0.5)
        wait(talk, training=FRESH)
        assert talk.asked_at == [STARTED_AT + 2]

    @pytest.mark.parametrize(("training", "after"), [(TRAINING, 0.5), (FRESH, 2.0), (FRESH, 500.0)])
    def test_asks_at_once_for_a_training_of_somebody_else_or_of_some_time_ago(
        self, training: SubmittedTraining, after: float
    ) -> None:
        talk = Talk([status("SUCCEEDED")], now=STARTED_AT + after)
        wait(talk, training=training)
        assert talk.pauses == []

    def test_asks_two_seconds_later_at_most_where_the_clock_is_behind_the_submitters(self) -> None:
        talk = Talk([status("SUCCEEDED")], now=STARTED_AT - 600)
        wait(talk, training=FRESH)
        assert talk.pauses == [2.0]

    @pytest.mark.parametrize("deadline", [STARTED_AT - 5, STARTED_AT, STARTED_AT + 0.5])
    def test_a_deadline_before_the_first_question_puts_it_off_no_further(self, deadline: float) -> None:
        talk = Talk([status("IN_PROGRESS")])
        with pytest.raises(AkkioTrainingTimeoutError):
            wait(talk, deadline, training=FRESH)
        assert talk.asked_at == [max(deadline, STARTED_AT)]
        assert all(seconds >= 0 for seconds in talk.pauses)

    def test_follows_akkios_estimate_once_it_is_known(self) -> None:
        talk = Talk([*[status("IN_PROGRESS", estimate_seconds=100)] * 4, status("SUCCEEDED")])
        wait(talk, training=replace(FRESH, duration=300))
        assert [at - STARTED_AT for at in talk.asked_at] == pytest.approx([2, 35.5, 88, 96, 104])

    def test_leaves_the_early_question_out_within_a_round_of_the_accounts_trainings(self) -> None:
        talk = Talk([*[status("IN_PROGRESS", estimate_seconds=100)] * 2, status("SUCCEEDED")], seconds_per_round=90.0)
        wait(talk, training=FRESH)
        assert [at - STARTED_AT for at in talk.asked_at] == pytest.approx([2, 88, 96])

    def test_expects_the_end_later_while_akkio_has_not_begun(self) -> None:
        talk = Talk([*[status("PENDING")] * 3, *[status("IN_PROGRESS", estimate_seconds=100)] * 2, status("SUCCEEDED")])
        wait(talk, training=FRESH)
        begun = 4.5  # when it was last seen waiting
        assert [at - STARTED_AT for at in talk.asked_at] == pytest.approx([2, 3, 4.5, 6.75, begun + 35.5, begun + 88])

    def test_asks_the_last_question_at_the_deadline(self) -> None:
        talk = Talk([status("IN_PROGRESS", estimate_seconds=7000)])
        with pytest.raises(AkkioTrainingTimeoutError):
            wait(talk, training=FRESH)
        assert [at - STARTED_AT for at in talk.asked_at] == [2, 1000]

    def test_each_status_question_says_since_when_it_is_wanted_and_nothing_else_does(self) -> None:
        submitting = Talk([ACCEPTED])
        training = submit(submitting)
        talk = Talk([status("IN_PROGRESS"), LOST, status("SUCCEEDED"), MODEL])
        talk.hold(lambda akkio: akkio.finish(training, DEADLINE))
        first, second = STARTED_AT + 2, STARTED_AT + 4
        due_at = [one.due_at for one in submitting.requests + talk.requests]
        assert due_at == [0, first, second, second, 0]
        assert talk.asked_at[2] > second, "what is asked again has been wanted since it was asked first"

    def test_a_poll_interval_of_the_authors_overrides_the_pacing(self) -> None:
        talk = Talk([status("IN_PROGRESS")] * 5 + [status("SUCCEEDED")])
        wait(talk, poll_interval=0.5, training=FRESH)
        assert talk.pauses == [0.5] * 5

    @pytest.mark.parametrize("name", ["FAILED", "UNKNOWN_TIMEOUT"])
    def test_a_failed_training_raises_with_akkios_own_reason(self, name: str) -> None:
        with pytest.raises(AkkioTrainingFailedError, match=f"training T1 with {name}: too few rows"):
            wait(Talk([status(name, error="too few rows")]))

    def test_a_failed_training_without_a_reason_says_so(self) -> None:
        with pytest.raises(AkkioTrainingFailedError, match="gave no reason"):
            wait(Talk([status("FAILED")]))

    def test_an_unknown_status_is_waited_on_and_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        odd = [status("CELEBRATING"), status("IN_PROGRESS"), status("CELEBRATING"), status("CELEBRATING")]
        wait(Talk([*odd, status("SUCCEEDED")]))
        assert [message for message in caplog.messages if "CELEBRATING" in message] == [
            "Training T1: status 'CELEBRATING' is not one that Akkio documents; waiting on."
        ]

    def test_the_deadline_ends_it_with_the_last_status_and_what_to_do(self) -> None:
        talk = Talk([status("PENDING"), status("IN_PROGRESS")])
        with pytest.raises(
            AkkioTrainingTimeoutError, match=r"within 1000 s; its last status is IN_PROGRESS.*AkkioTrainSensor"
        ):
            wait(talk)
        assert talk.now == DEADLINE

    def test_a_training_that_ends_in_the_last_interval_is_not_lost(self) -> None:
        talk = Talk([status("IN_PROGRESS"), status("SUCCEEDED", location="/x")])
        assert wait(talk, deadline=STARTED_AT + 1) == "/x"
        assert talk.now == STARTED_AT + 1

    def test_a_deadline_that_has_passed_still_allows_one_question(self) -> None:
        assert wait(Talk([status("SUCCEEDED", location="/x")]), deadline=STARTED_AT - 5) == "/x"

    def test_a_day_of_failing_polls_does_not_end_it(self) -> None:
        failures = itertools.islice(itertools.cycle([UNREACHABLE, LOST, Response(500), Response(429)]), 500)
        talk = Talk([*failures, status("SUCCEEDED", location="/x")])
        assert wait(talk, deadline=STARTED_AT + 86400) == "/x"
        assert len(talk.requests) == 501

    def test_an_outage_while_a_result_is_looked_for_is_a_timeout_too(self) -> None:
        with pytest.raises(AkkioTrainingTimeoutError, match=r"last question failed: Result of training T1.*HTTP 503"):
            wait(Talk([NOT_FOUND, Response(503)]))

    def test_an_outage_until_the_deadline_is_named_in_the_timeout(self) -> None:
        with pytest.raises(
            AkkioTrainingTimeoutError, match=r"last status is IN_PROGRESS.*last question failed.*HTTP 502"
        ):
            wait(Talk([status("IN_PROGRESS"), Response(502)]))

    def test_ten_unreadable_answers_in_a_row_end_it(self) -> None:
        talk = Talk([status("IN_PROGRESS"), Response(200, b"<html>hello")])
        with pytest.raises(AkkioResponseError, match="begins: <html>hello"):
            wait(talk)
        assert len(talk.requests) == 11

    def test_unreadable_answers_with_others_between_do_not_end_it(self) -> None:
        rubbish = [Response(200, b"<html>")] * 9
        talk = Talk([*rubbish, Response(500), *rubbish, status("SUCCEEDED", location="/x")])
        assert wait(talk) == "/x"

    @pytest.mark.parametrize(("code", "error"), REFUSALS.items())
    def test_a_refusal_ends_it_at_once(self, code: int, error: type[Exception]) -> None:
        talk = Talk([status("IN_PROGRESS"), Response(code)])
        with pytest.raises(error):
            wait(talk)
        assert len(talk.requests) == 2

    def test_a_record_that_is_gone_is_looked_for_by_its_result(self) -> None:
        talk = Talk([NOT_FOUND, MODEL])
        assert wait(talk) is None
        assert talk.paths == ["status", "result"]

    def test_a_record_that_is_gone_without_a_result_fails(self) -> None:
        with pytest.raises(AkkioNotFoundError, match="neither a status nor a result of training T1"):
            wait(Talk([NOT_FOUND]))

    def test_a_throttled_poll_waits_a_second_at_least(self) -> None:
        talk = Talk([Response(429, retry_after="0")] * 3 + [status("SUCCEEDED")])
        wait(talk)
        assert talk.pauses == [1.0] * 3

    def test_a_status_that_falls_back_is_checked_against_the_result(self) -> None:
        talk = Talk([status("IN_PROGRESS"), status("PENDING"), MODEL])
        assert wait(talk) is None
        assert talk.paths == ["status", "status", "result"]

    @pytest.mark.parametrize("no_result", [NOT_FOUND, LOST, Response(500), answer({})])
    def test_a_status_that_falls_back_without_a_result_is_waited_on(self, no_result: Response) -> None:
        talk = Talk([status("IN_PROGRESS"), status("SUBMITTED"), no_result, status("SUCCEEDED", location="/x")])
        assert wait(talk) == "/x"


class TestFetching:
    def test_a_result_comes_from_where_akkio_said(self) -> None:
        talk = Talk([status("SUCCEEDED", location="/models/train/T1/elsewhere"), MODEL])
        talk.hold(lambda akkio: akkio.finish(TRAINING, DEADLINE))
        assert talk.requests[-1].url == "https://api.akkio.com/api/v1/models/train/T1/elsewhere"

    def test_a_location_on_another_site_is_not_asked(self) -> None:
        talk = Talk([status("SUCCEEDED", location="https://evil.example/api/v1/x"), MODEL])
        with pytest.raises(AkkioUntrustedUrlError):
            talk.hold(lambda akkio: akkio.finish(TRAINING, DEADLINE))
        assert len(talk.requests) == 1

    def test_a_model_that_is_there_is_tried_for_five_minutes_beyond_the_deadline(self) -> None:
        talk = Talk([status("SUCCEEDED"), UNREACHABLE, UNREACHABLE, MODEL])
        _, result = talk.hold(lambda akkio: akkio.finish(TRAINING, STARTED_AT))
        assert result.model_id == "M1"

    def test_an_akkio_that_stays_away_for_five_minutes_is_given_up(self) -> None:
        talk = Talk([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="Result of training T1"):
            talk.hold(lambda akkio: akkio.result("T1"))
        assert talk.now == pytest.approx(STARTED_AT + 300)

    def test_a_result_without_a_model_shows_what_came(self) -> None:
        with pytest.raises(AkkioResponseError, match=r"no 'model_id'. It begins: {\"status\": \"success\"}"):
            Talk([answer({"status": "success"})]).hold(lambda akkio: akkio.result("T1"))

    def test_an_id_cannot_become_a_path(self) -> None:
        talk = Talk([MODEL])
        talk.hold(lambda akkio: akkio.result("../../v1/models?x=/"))
        with pytest.raises(AkkioUntrustedUrlError):
            talk.hold(lambda akkio: akkio.result(".."))
        assert talk.requests[0].url.endswith("/train/..%2F..%2Fv1%2Fmodels%3Fx%3D%2F/result")


class TestChecking:
    @pytest.mark.parametrize("reply", [NOT_FOUND, status("PENDING")])
    def test_an_unknown_training_shows_that_the_key_is_taken(self, reply: Response) -> None:
        talk = Talk([reply])
        talk.hold(lambda akkio: akkio.check())
        assert len(talk.requests) == 1

    def test_an_answer_that_is_not_akkios_is_no_success(self) -> None:
        with pytest.raises(AkkioUnavailableError):
            Talk([Response(200, b"<html>It works!")]).hold(lambda akkio: akkio.check())


def test_a_client_that_leaves_a_request_unanswered_is_a_bug() -> None:
    with pytest.raises(TypeError, match="must answer"):
        Talk([]).hold(lambda akkio: akkio.check())


class TestRevisiting:
    def revisit(
        self, *replies: Response | TransportError, after: float = 60.0
    ) -> tuple[TrainingState | None, list[str]]:
        talk = Talk(replies, now=STARTED_AT + after)
        return talk.hold(lambda akkio: akkio.revisit(TRAINING)), talk.paths

    def test_finds_a_training_that_goes_on(self) -> None:
        state, paths = self.revisit(status("IN_PROGRESS", estimate_seconds=60))
        assert state == TrainingState("IN_PROGRESS", 60.0)
        assert paths == ["status"]

    def test_finds_where_the_result_lies(self) -> None:
        state, _ = self.revisit(status("SUCCEEDED", location="/models/train/T1/result"))
        assert state == TrainingState("SUCCEEDED", location="/models/train/T1/result")

    def test_goes_on_with_a_status_that_akkio_does_not_document(self) -> None:
        assert self.revisit(status("RESTING"))[0] == TrainingState("RESTING")

    @pytest.mark.parametrize("name", ["FAILED", "UNKNOWN_TIMEOUT"])
    def test_expects_no_model_of_a_failed_training(self, name: str) -> None:
        assert self.revisit(status(name))[0] is None

    @pytest.mark.parametrize("gone", [NOT_FOUND, status("PENDING"), status("SUBMITTED")])
    def test_asks_for_the_result_where_the_status_may_be_gone(self, gone: Response) -> None:
        state, paths = self.revisit(gone, MODEL)
        assert state == TrainingState("SUCCEEDED")
        assert paths == ["status", "result"]

    def test_does_not_take_a_training_that_akkio_does_not_know_for_a_failed_one(self) -> None:
        with pytest.raises(AkkioNotFoundError, match="neither a status nor a result of training T1"):
            self.revisit(NOT_FOUND, NOT_FOUND)

    def test_expects_no_model_of_a_training_that_has_been_pending_for_over_a_day(self) -> None:
        assert self.revisit(status("PENDING"), NOT_FOUND, after=86_000)[0] == TrainingState("PENDING")
        assert self.revisit(status("PENDING"), NOT_FOUND, after=87_000)[0] is None

    @pytest.mark.parametrize(
        "replies", [[UNREACHABLE], [LOST], [Response(500)], [Response(200, b"<html>")], [NOT_FOUND, LOST]]
    )
    def test_takes_the_training_as_going_on_while_akkio_cannot_be_had(self, replies: list[Response]) -> None:
        state, paths = self.revisit(*replies)
        assert state == TrainingState("not known")
        assert len(paths) == len(replies)

    @pytest.mark.parametrize(("code", "error"), REFUSALS.items())
    def test_ends_with_a_refusal(self, code: int, error: type[Exception]) -> None:
        with pytest.raises(error):
            self.revisit(Response(code))


class TestCounting:
    def test_counts_each_poll_and_each_that_failed(self) -> None:
        talk = Talk([LOST, Response(500), Response(200, b"<html>"), status("IN_PROGRESS"), status("SUCCEEDED"), MODEL])
        talk.hold(lambda akkio: akkio.finish(TRAINING, DEADLINE))
        assert talk.numbers.counts == {MetricName.POLLS: 5, MetricName.POLL_ERRORS: 3}

    def test_counts_whatever_is_throttled(self) -> None:
        throttled = [Response(429), Response(503, retry_after="1")]
        submitting = Talk([*throttled, ACCEPTED])
        training = submit(submitting)
        talk = Talk([*throttled, status("SUCCEEDED"), *throttled, MODEL])
        talk.hold(lambda akkio: akkio.finish(training, DEADLINE))
        assert submitting.numbers.counts + talk.numbers.counts == {
            MetricName.POLLS: 3,
            MetricName.POLL_ERRORS: 2,
            MetricName.RATE_LIMITED: 6,
        }

    def test_times_a_training_and_how_late_its_end_may_have_been_seen(self) -> None:
        talk = Talk([status("IN_PROGRESS", estimate_seconds=100)] * 3 + [status("SUCCEEDED")])
        wait(talk, training=FRESH)
        assert talk.numbers.times == {
            MetricName.TRAINING_SECONDS: [pytest.approx(96)],
            MetricName.DETECTION_DELAY_SECONDS: [pytest.approx(8)],
        }

    def test_times_no_training_that_failed(self) -> None:
        talk = Talk([status("FAILED")])
        with pytest.raises(AkkioTrainingFailedError):
            wait(talk)
        assert talk.numbers.times == {}
