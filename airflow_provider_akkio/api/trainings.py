"""All operations as flows; this module has those about trainings.

The retry rules:

- *A read* (status, result) is retried until its deadline, except after ten consecutive invalid responses.
- *A submission* is retried if Akkio cannot have started a training, or if it returns the same model for the same
  parameters (``force=False``). With ``force=True``, an unknown outcome is final: a second training would be billed.
- *A rejection* (HTTP 401, 403, 404, 422, a redirect) is never retried.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.datasets import DatasetApi
from airflow_provider_akkio.api.http import Flow, Method, Request, Sleep
from airflow_provider_akkio.api.models import ModelApi
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.polling import FIRST_POLL, seconds_until_next_poll
from airflow_provider_akkio.api.requester import (
    MAX_SUBMIT_RETRY_SECONDS,
    NO_METRICS,
    MetricName,
    Metrics,
    Requester,
    RetryPolicy,
)
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import (
    MAX_TRAINING_SECONDS,
    NOT_SUBMITTED_AGAIN,
    UNKNOWN_STATE,
    SubmittedTraining,
    TrainingResult,
    TrainingState,
    TrainingStatus,
    required_id,
    still_running,
)
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioSubmissionUnknownError,
    AkkioTrainingFailedError,
    AkkioTrainingTimeoutError,
    AkkioUnavailableError,
)

log = logging.getLogger(__name__)

MAX_SUBMISSIONS = 6

OnStatus: TypeAlias = Callable[[TrainingState], None]
"""Called with the state after each poll."""


class AkkioApi:
    """The operations of one account: trainings here, datasets and models in ``datasets`` and ``models``.

    Every operation raises :class:`AkkioUnavailableError` if its retries fail, :class:`AkkioRequestRejectedError` if
    Akkio rejects a request, and :class:`AkkioUntrustedUrlError` for a redirect.

    :param metrics: receives the metrics; default none are recorded.
    :param seconds_per_round: returns the seconds in which the rate limit allows one poll for each waiting training of
        the account; default 0.
    """

    def __init__(
        self,
        config: ClientConfig,
        clock: Callable[[], float] = time.time,
        metrics: Metrics = NO_METRICS,
        seconds_per_round: Callable[[], float] = float,
    ) -> None:
        self._base_url = config.base_url
        self._clock = clock
        self._metrics = metrics
        self._requester = Requester(config, clock, metrics)
        self._seconds_per_round = seconds_per_round
        self.datasets = DatasetApi(self._requester)
        self.models = ModelApi(self._requester)

    def submit(self, request: TrainRequest) -> Flow[SubmittedTraining]:
        """Submit a training; retry up to five times, and for up to an hour while Akkio limits the rate.

        :raises AkkioSubmissionUnknownError: if ``force`` is set and Akkio may have started a training.
        """

        def parse(body: Mapping[str, Any]) -> SubmittedTraining:
            return SubmittedTraining(required_id(body, "task_id"), self._clock(), request.duration)

        def would_pay_twice(error: AkkioUnavailableError) -> bool:
            return bool(request.force) and error.outcome_is_unknown and not error.is_throttled

        message = Request(Method.POST, self._base_url.url("models", "train", "new"), request.to_json())
        purpose = f"Submitting a training of dataset {request.dataset_id!r}"
        policy = RetryPolicy(self._clock() + MAX_SUBMIT_RETRY_SECONDS, MAX_SUBMISSIONS)
        try:
            training = yield from self._requester.retry(
                partial(self._requester.send, message, purpose, parse),
                policy,
                may_retry=lambda error: not would_pay_twice(error),
            )
        except AkkioUnavailableError as error:
            if would_pay_twice(error):
                raise AkkioSubmissionUnknownError(f"{error} {NOT_SUBMITTED_AGAIN}") from error
            raise
        log.info(
            "Submitted training %s: dataset %s, predict fields %s, duration %d s.",
            training.akkio_task_id,
            request.dataset_id,
            ", ".join(request.predict_fields or ()) or "chosen by Akkio",
            request.duration,
        )
        return training

    def status(self, akkio_task_id: str, deadline: float | None = None, due_at: float = 0.0) -> Flow[TrainingState]:
        """Poll a training once; retry while Akkio is unavailable.

        :param deadline: time of the last attempt, in seconds since the epoch; default in five minutes.
        :param due_at: see :class:`~airflow_provider_akkio.api.http.Request`.
        :raises AkkioNotFoundError: if Akkio does not know the training, or not any more.
        """
        request = Request(Method.GET, self._url(akkio_task_id, "status"), due_at=due_at)
        return self._requester.read(partial(self._poll, akkio_task_id, request), deadline)

    def result(
        self, akkio_task_id: str, location: str | None = None, deadline: float | None = None
    ) -> Flow[TrainingResult]:
        """Fetch the result of a training that succeeded; retry while Akkio is unavailable.

        :param location: location of the result, from the training's state; default the documented URL.
        :param deadline: time of the last attempt, in seconds since the epoch; default in five minutes.
        :raises AkkioUntrustedUrlError: if ``location`` is outside the API root.
        :raises AkkioNotFoundError: if there is no result.
        """
        return self._requester.read(partial(self._fetch_result, akkio_task_id, location), deadline)

    def poll_until_done(
        self,
        training: SubmittedTraining,
        deadline: float,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> Flow[TrainingState]:
        """Poll a training until it has succeeded.

        :param deadline: time of the last poll, in seconds since the epoch.
        :param poll_interval: seconds between two polls; default :func:`~.polling.seconds_until_next_poll`.
        :param on_status: called after each poll; default none.
        :return: the final state, with the location of the result if Akkio sent one.
        :raises AkkioTrainingFailedError: if Akkio reports that the training failed.
        :raises AkkioTrainingTimeoutError: if the training has not ended at the deadline.
        :raises AkkioNotFoundError: if Akkio has neither a status nor a result of the training.
        """
        previous, undocumented = UNKNOWN_STATE, set[str]()
        waiting_at = unfinished_at = training.submitted_at  # when a poll last saw it waiting, and unfinished
        now = due_at = self._clock()
        is_fresh = training.duration is not None and now - training.submitted_at < FIRST_POLL
        if poll_interval is None and is_fresh:
            due_at = max(now, min(now + seconds_until_next_poll(now - training.submitted_at), deadline))
            yield Sleep(due_at - now)
        while True:
            try:
                state = yield from self._status_or_result(training, deadline, due_at)
            except AkkioUnavailableError as error:
                if self._clock() < deadline:
                    raise
                raise _timeout(training, deadline, previous, f" The last poll failed: {error}") from error
            if previous.known is TrainingStatus.IN_PROGRESS and state.is_waiting:
                # Akkio reports an unknown ID as pending, also that of a training whose status it has deleted.
                state = (yield from self._succeeded_state(training)) or state
            _log_change(training, previous, state, undocumented)
            if on_status is not None:
                on_status(state)
            now = self._clock()
            if state.known is TrainingStatus.SUCCEEDED:
                self._record_durations(training, now, unfinished_at)
                return state
            if state.is_failed:
                reason = printable(state.error or "") or "Akkio gave no reason"
                raise AkkioTrainingFailedError(
                    f"Training {training.akkio_task_id} ended with status {state.status}: {reason.rstrip('.')}. "
                    "Check its dataset and parameters."
                )
            if now >= deadline:
                raise _timeout(training, deadline, state)
            previous, unfinished_at = state, now
            waiting_at = now if state.is_waiting else waiting_at
            interval = poll_interval or seconds_until_next_poll(
                now - (training.submitted_at if state.is_waiting else waiting_at),
                duration=training.duration,
                estimate=state.estimate_seconds,
                is_waiting=state.is_waiting,
                seconds_per_round=self._seconds_per_round(),
            )
            due_at = min(now + interval, deadline)
            yield Sleep(due_at - now)

    def get_resumable_state(self, training: SubmittedTraining) -> Flow[TrainingState | None]:
        """Return the state of a training that a previous attempt submitted, without retries.

        Akkio deletes a status after a day and may then report the training as pending. It keeps the result.

        :return: its state, :data:`~.types.UNKNOWN_STATE` if Akkio is unavailable, or ``None`` if it cannot produce a
            model any more.
        :raises AkkioNotFoundError: if Akkio has neither a status nor a result of the training.
        """
        try:
            state = yield from self._status_or_result(training, deadline=self._clock())
        except AkkioUnavailableError:
            return UNKNOWN_STATE
        if state.is_waiting:
            state = (yield from self._succeeded_state(training)) or state
        is_lost = state.is_waiting and self._clock() - training.submitted_at > MAX_TRAINING_SECONDS
        return None if state.is_failed or is_lost else state

    def test_connection(self) -> Flow[None]:
        """Check that Akkio is reachable and accepts the API key; nothing is started.

        Polls a training that does not exist: no other documented request needs a key and changes nothing. Akkio may
        respond with HTTP 404, or that the training is pending.

        :raises AkkioUnauthorizedError: if the key is wrong.
        :raises AkkioForbiddenError: if the key's organization has no access.
        :raises AkkioUnavailableError: if Akkio is unreachable, or the response is not from Akkio.
        """
        request = Request(Method.GET, self._url("airflow-connection-test", "status"))
        with suppress(AkkioNotFoundError):
            yield from self._requester.send(request, "Testing the connection", TrainingState.from_json)

    def _record_durations(self, training: SubmittedTraining, now: float, unfinished_at: float) -> None:
        if training.duration is not None:  # otherwise the time of the submission is unknown
            self._metrics.timing(MetricName.TRAINING_SECONDS, now - training.submitted_at)
            self._metrics.timing(MetricName.DETECTION_DELAY_SECONDS, now - unfinished_at)

    def _url(self, akkio_task_id: str, endpoint: str) -> str:
        return self._base_url.url("models", "train", akkio_task_id, endpoint)

    def _poll(self, akkio_task_id: str, request: Request) -> Flow[TrainingState]:
        self._metrics.increment(MetricName.POLLS)
        purpose = f"Status of training {akkio_task_id}"
        try:
            return (yield from self._requester.send(request, purpose, TrainingState.from_json))
        except AkkioUnavailableError:
            self._metrics.increment(MetricName.POLL_ERRORS)
            raise

    def _fetch_result(self, akkio_task_id: str, location: str | None = None) -> Flow[TrainingResult]:
        url = self._url(akkio_task_id, "result") if location is None else self._base_url.resolve(location)
        purpose = f"Result of training {akkio_task_id}"
        return self._requester.send(Request(Method.GET, url), purpose, TrainingResult.from_json)

    def _status_or_result(
        self, training: SubmittedTraining, deadline: float, due_at: float = 0.0
    ) -> Flow[TrainingState]:
        """Poll; if the status is gone, look for the result: Akkio keeps statuses for 24 hours, results for longer."""
        akkio_task_id = training.akkio_task_id
        try:
            return (yield from self.status(akkio_task_id, deadline, due_at))
        except AkkioNotFoundError:
            pass
        try:
            yield from self.result(akkio_task_id, deadline=deadline)
        except AkkioNotFoundError as error:
            raise AkkioNotFoundError(
                f"Akkio has neither a status nor a result of training {akkio_task_id} (HTTP 404). It belongs to "
                "another account, or it ended without a model more than 24 hours ago. Check the connection, or clear "
                "the task to train again."
            ) from error
        return TrainingState(TrainingStatus.SUCCEEDED)

    def _succeeded_state(self, training: SubmittedTraining) -> Flow[TrainingState | None]:
        """Return the state of a training that has a result, else ``None``."""
        try:
            yield from self._fetch_result(training.akkio_task_id)
        except (AkkioNotFoundError, AkkioUnavailableError):
            return None
        return TrainingState(TrainingStatus.SUCCEEDED)


def _log_change(
    training: SubmittedTraining, previous: TrainingState, state: TrainingState, undocumented: set[str]
) -> None:
    akkio_task_id = training.akkio_task_id
    if log.isEnabledFor(logging.DEBUG):
        log.debug("Polled training %s: %s", akkio_task_id, printable(str(state)))
    if state.known is None:
        if state.status not in undocumented:
            log.warning(
                "Training %s: undocumented status %r; polling continues.", akkio_task_id, printable(state.status)
            )
        undocumented.add(state.status)
    elif state.status != previous.status:
        estimate = "" if state.estimate_seconds is None else f", estimated duration {state.estimate_seconds:.0f} s"
        log.info("Training %s: %s%s", akkio_task_id, state.status, estimate)


def _timeout(
    training: SubmittedTraining, deadline: float, last: TrainingState, reason: str = ""
) -> AkkioTrainingTimeoutError:
    seconds = max(0.0, deadline - training.submitted_at)
    return AkkioTrainingTimeoutError(
        f"Training {training.akkio_task_id} did not end within {round(seconds, 3 if seconds < 10 else 0):g} s (last "
        f"status: {printable(last.status)}).{reason} {still_running(training.akkio_task_id)}",
    )
