"""How to talk to Akkio about a training, as conversations that a blocking and an asynchronous client drive alike.

This is the one place that decides whether a failure is tried again:

- *Reading* (a status, a result) is tried again with exponential backoff until the deadline; only ten unreadable answers
  in a row end it sooner.
- *Submitting* is tried again if nothing can have been started, or if Akkio would give the same model for the same
  parameters (``force=False``). With ``force=True`` an unknown outcome ends it: a second training would be billed.
- A refusal (401, 403, 404, 422, a redirect) is never tried again.
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
from airflow_provider_akkio.api.polling import FIRST_POLL, READ_TIMEOUT, SUBMIT_TIMEOUT, seconds_until_next_poll
from airflow_provider_akkio.api.requester import NO_METRICS, MetricName, Metrics, Requester, RetryPolicy
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import (
    MAX_TRAINING_SECONDS,
    NOT_SUBMITTED_AGAIN,
    SubmittedTraining,
    TrainingResult,
    TrainingState,
    TrainingStatus,
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

MAX_SUBMIT_RETRIES = 5
_TRAIN = ("models", "train")
_UNUSED_TRAINING = "airflow-connection-test"

OnStatus: TypeAlias = Callable[[TrainingState], None]
"""Hears an answer to a question for a training's status."""


def _unheard(_: TrainingState) -> None:
    """Hear an answer for nobody."""


class AkkioApi:
    """The conversations with one account's Akkio: those about trainings, and in ``datasets`` and ``models`` the others.

    :param config: where it is, and what its connection is called.
    :param clock: gives the present, in seconds since the epoch.
    :param metrics: takes the numbers.
    :param seconds_per_round: gives the seconds in which the account could ask once for each training that it waits for.
    """

    def __init__(
        self,
        config: ClientConfig,
        clock: Callable[[], float] = time.time,
        metrics: Metrics = NO_METRICS,
        seconds_per_round: Callable[[], float] = float,
    ) -> None:
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._requester = Requester(config, clock, metrics)
        self.datasets = DatasetApi(self._requester)
        self.models = ModelApi(self._requester)
        self._round_seconds = seconds_per_round

    def submit(self, request: TrainRequest) -> Flow[SubmittedTraining]:
        """Ask for a training; while Akkio asks for fewer requests, for up to an hour.

        :param request: what to train.
        :raises AkkioSubmissionUnknownError: if ``force`` is set and a training may have been started.
        :raises AkkioRequestRejectedError: if Akkio refuses the request.
        :raises AkkioUnavailableError: if Akkio cannot be had.
        """
        purpose = f"Submitting a training of dataset {request.dataset_id!r}"
        message = Request(Method.POST, self._config.base_url.url(*_TRAIN, "new"), request.to_json())
        patience = RetryPolicy(self._clock, self._clock() + SUBMIT_TIMEOUT, AkkioUnavailableError, MAX_SUBMIT_RETRIES)
        try:
            for attempt in patience.attempts(lambda error: _may_submit_again(error, request)):
                yield from patience.pauses()
                with attempt:
                    training = yield from self._requester.ask(
                        message, purpose, partial(self._accepted, request.duration)
                    )
        except AkkioUnavailableError as error:
            if not (request.force and _may_have_begun(error)):
                raise
            raise AkkioSubmissionUnknownError(f"{error} {NOT_SUBMITTED_AGAIN}") from error
        log.info(
            "Akkio accepted training %s: dataset %s, predicting %s, %d s.",
            training.akkio_task_id,
            request.dataset_id,
            ", ".join(request.predict_fields or ()) or "what Akkio chooses",
            request.duration,
        )
        return training

    def status(self, akkio_task_id: str, deadline: float | None = None, due_at: float = 0.0) -> Flow[TrainingState]:
        """Ask how a training is doing.

        :param akkio_task_id: which training.
        :param deadline: until when to try, in seconds since the epoch; default for five minutes.
        :param due_at: since when the answer is wanted, in seconds since the epoch; by default before all others.
        :raises AkkioNotFoundError: if Akkio does not know the training, or no longer.
        :raises AkkioRequestRejectedError: if Akkio refuses the request.
        :raises AkkioUnavailableError: if no answer came until the deadline.
        """
        url = self._config.base_url.url(*_TRAIN, akkio_task_id, "status")
        request = Request(Method.GET, url, due_at=due_at)
        return self._requester.read(lambda: self._poll(akkio_task_id, request), deadline)

    def result(
        self, akkio_task_id: str, location: str | None = None, deadline: float | None = None
    ) -> Flow[TrainingResult]:
        """Fetch the result of a training that succeeded.

        :param akkio_task_id: which training.
        :param location: where Akkio said that it lies; ``None`` for the documented place.
        :param deadline: until when to try, in seconds since the epoch; default for five minutes.
        :raises AkkioUntrustedUrlError: if ``location`` leads elsewhere.
        :raises AkkioNotFoundError: if there is none.
        :raises AkkioUnavailableError: if no answer came until the deadline.
        """
        site = self._config.base_url
        url = site.url(*_TRAIN, akkio_task_id, "result") if location is None else site.resolve(location)
        request = Request(Method.GET, url)
        purpose = f"Result of training {akkio_task_id}"
        return self._requester.read(lambda: self._requester.ask(request, purpose, TrainingResult.from_json), deadline)

    def wait(
        self,
        training: SubmittedTraining,
        deadline: float,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> Flow[TrainingState]:
        """Ask for the status again and again until the training has succeeded.

        :param training: which training, submitted when.
        :param deadline: until when to wait, in seconds since the epoch; the last question is asked then.
        :param poll_interval: seconds between two questions; ``None`` lets :mod:`.pacing` decide.
        :param on_status: hears each answer; default nobody does.
        :return: the state in which it succeeded, with the location of its result if Akkio gave one.
        :raises AkkioTrainingFailedError: if Akkio reports that it failed.
        :raises AkkioTrainingTimeoutError: if the deadline passes.
        :raises AkkioNotFoundError: if Akkio no longer knows the training, nor a result of it.
        :raises AkkioRequestRejectedError: if Akkio refuses to answer.
        """
        akkio_task_id = training.akkio_task_id
        hear = on_status or _unheard
        last, unknown = TrainingState("not known"), set[str]()
        now = due_at = self._clock()
        idle_until = running_at = training.submitted_at
        if poll_interval is None and training.duration is not None and now - training.submitted_at < FIRST_POLL:
            due_at = max(now, min(now + seconds_until_next_poll(now - training.submitted_at), deadline))
            yield Sleep(due_at - now)
        while True:
            try:
                state = yield from self._state(akkio_task_id, deadline, due_at)
            except AkkioUnavailableError as error:
                if self._clock() < deadline:
                    raise
                raise _timeout(training, deadline, last, f" The last question failed: {error}") from error
            _log_change(akkio_task_id, last, state, unknown)
            hear(state)
            now = self._clock()
            if state.known is TrainingStatus.SUCCEEDED:
                self._time(training, now, running_at)
                return state
            if state.known is not None and state.known.is_failed:
                raise _failed(akkio_task_id, state)
            if _has_fallen_back(last, state) and (yield from self._has_result(akkio_task_id)):
                state = TrainingState(TrainingStatus.SUCCEEDED)
                hear(state)
                return state
            if now >= deadline:
                raise _timeout(training, deadline, state)
            if state.known is not None and state.known.is_waiting:
                idle_until = now
            last, running_at = state, now
            interval = self._interval(training, state, now, idle_until) if poll_interval is None else poll_interval
            due_at = min(now + interval, deadline)
            yield Sleep(due_at - now)

    def revisit(self, training: SubmittedTraining) -> Flow[TrainingState | None]:
        """Find out, with one question each, what has become of a training that was submitted some time ago.

        Akkio forgets a status after a day, and may then call the training pending; its result stays.

        :param training: which training, submitted when.
        :return: its state, not known if Akkio cannot be had now; ``None`` if no model can come of it any more.
        :raises AkkioNotFoundError: if Akkio knows neither a status nor a result of it.
        :raises AkkioRequestRejectedError: if Akkio refuses to answer.
        :raises AkkioUntrustedUrlError: if it answers with a redirect.
        """
        try:
            state = yield from self._state(training.akkio_task_id, self._clock())
        except AkkioUnavailableError:
            return TrainingState("not known")
        if state.known is None or not (state.known.is_waiting or state.known.is_failed):
            return state
        if state.known.is_waiting and (yield from self._has_result(training.akkio_task_id)):
            return TrainingState(TrainingStatus.SUCCEEDED)
        is_lost = state.known.is_failed or self._clock() - training.submitted_at > MAX_TRAINING_SECONDS
        return None if is_lost else state

    def finish(
        self,
        training: SubmittedTraining,
        deadline: float,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> Flow[tuple[TrainingState, TrainingResult]]:
        """Wait for a training, as :meth:`wait`, and fetch its :meth:`result`.

        Fetching it is tried for five minutes even if the deadline is near: the model is there, and paid for.

        :return: the state in which it succeeded, and its result.
        """
        state = yield from self.wait(training, deadline, poll_interval, on_status)
        deadline = max(deadline, self._clock() + READ_TIMEOUT)
        return state, (yield from self.result(training.akkio_task_id, state.location, deadline))

    def check(self) -> Flow[None]:
        """Find out whether Akkio can be reached and takes the key, without starting anything.

        It asks once for the status of a training that cannot exist: of all that is documented, only this needs a key
        and changes nothing. Akkio may answer 404, or that an unknown training is pending.

        :raises AkkioUnauthorizedError: if the key is wrong.
        :raises AkkioForbiddenError: if its organization may not use the API.
        :raises AkkioUnavailableError: if there is no answer, or none of Akkio's.
        """
        request = Request(Method.GET, self._config.base_url.url(*_TRAIN, _UNUSED_TRAINING, "status"))
        with suppress(AkkioNotFoundError):
            yield from self._requester.ask(request, "Testing the connection", TrainingState.from_json)

    def _poll(self, akkio_task_id: str, request: Request) -> Flow[TrainingState]:
        self._metrics.increment(MetricName.POLLS)
        try:
            return (
                yield from self._requester.ask(request, f"Status of training {akkio_task_id}", TrainingState.from_json)
            )
        except AkkioUnavailableError:
            self._metrics.increment(MetricName.POLL_ERRORS)
            raise

    def _accepted(self, duration: int, body: Mapping[str, Any]) -> SubmittedTraining:
        return SubmittedTraining.from_json(body, self._clock(), duration)

    def _time(self, training: SubmittedTraining, now: float, running_at: float) -> None:
        if training.duration is not None:  # else it is not known when it was submitted
            self._metrics.timing(MetricName.TRAINING_SECONDS, now - training.submitted_at)
            self._metrics.timing(MetricName.DETECTION_DELAY_SECONDS, now - running_at)

    def _interval(self, training: SubmittedTraining, state: TrainingState, now: float, idle_until: float) -> float:
        is_waiting = state.known is not None and state.known.is_waiting
        return seconds_until_next_poll(
            now - (training.submitted_at if is_waiting else idle_until),
            duration=training.duration,
            estimate=state.estimate_seconds,
            is_waiting=is_waiting,
            seconds_per_round=self._round_seconds(),
        )

    def _state(self, akkio_task_id: str, deadline: float, due_at: float = 0.0) -> Flow[TrainingState]:
        """Ask for the status, and if it is gone for the result: Akkio keeps statuses for 24 hours, results longer."""
        try:
            return (yield from self.status(akkio_task_id, deadline, due_at))
        except AkkioNotFoundError:
            pass
        try:
            yield from self.result(akkio_task_id, deadline=deadline)
        except AkkioNotFoundError as error:
            raise AkkioNotFoundError(
                f"Akkio knows neither a status nor a result of training {akkio_task_id}: it is not of this account, or "
                "it ended without a model over 24 hours ago. Check the connection; clear the task to train anew."
            ) from error
        return TrainingState(TrainingStatus.SUCCEEDED)

    def _has_result(self, akkio_task_id: str) -> Flow[bool]:
        """Ask once whether there is a result, for a status that may be Akkio's way of not knowing the id."""
        request = Request(Method.GET, self._config.base_url.url(*_TRAIN, akkio_task_id, "result"))
        try:
            yield from self._requester.ask(request, f"Result of training {akkio_task_id}", TrainingResult.from_json)
        except (AkkioNotFoundError, AkkioUnavailableError):
            return False
        return True


def _may_submit_again(error: BaseException, request: TrainRequest) -> bool:
    return isinstance(error, AkkioUnavailableError) and not (request.force and _may_have_begun(error))


def _may_have_begun(error: AkkioUnavailableError) -> bool:
    """Return whether a training may have been started: whoever asks for fewer requests has not begun with one."""
    return error.outcome_is_unknown and not error.is_throttled


def _has_fallen_back(before: TrainingState, now: TrainingState) -> bool:
    return before.known is TrainingStatus.IN_PROGRESS and now.known is not None and now.known.is_waiting


def _log_change(akkio_task_id: str, before: TrainingState, now: TrainingState, unknown: set[str]) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("Training %s: %s", akkio_task_id, printable(str(now)))
    if now.known is None:
        if now.status not in unknown:
            log.warning(
                "Training %s: status %r is not one that Akkio documents; waiting on.",
                akkio_task_id,
                printable(now.status),
            )
        unknown.add(now.status)
    elif now.status != before.status:
        estimate = "" if now.estimate_seconds is None else f", estimated to take {now.estimate_seconds:.0f} s"
        log.info("Training %s: %s%s", akkio_task_id, now.status, estimate)


def _failed(akkio_task_id: str, state: TrainingState) -> AkkioTrainingFailedError:
    reason = printable(state.error or "") or "Akkio gave no reason."
    return AkkioTrainingFailedError(f"Akkio ended training {akkio_task_id} with {state.status}: {reason}")


def _timeout(
    training: SubmittedTraining, deadline: float, last: TrainingState, why: str = ""
) -> AkkioTrainingTimeoutError:
    seconds = max(0.0, deadline - training.submitted_at)
    return AkkioTrainingTimeoutError(
        f"Training {training.akkio_task_id} did not end within {round(seconds, 3 if seconds < 10 else 0):g} s; its "
        f"last status is {printable(last.status)}.{why} {still_running(training.akkio_task_id)}",
        last_status=last.status,
    )
