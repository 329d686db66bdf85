"""The tasks of Akkio: trainings, and the polling loop that trainings and chats share.

``AkkioApi`` also has the operations of the other modules of this folder, all as flows.

The retry rules:

- *A read* (status, result) is retried until its deadline, except after ten consecutive invalid responses.
- *A submission* is retried if Akkio cannot have started a training, or if it returns the same model for the same
  parameters (``force=False``). With ``force=True``, an unknown outcome is final: a second training would be billed.
- *A rejection* (HTTP 401, 403, 404, 422, a redirect) is never retried.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from airflow_provider_akkio.api.chats import ChatApi
from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.datasets import DatasetApi
from airflow_provider_akkio.api.http import Flow, Method, Request, Sleep
from airflow_provider_akkio.api.models import ModelApi
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.polling import FIRST_POLL, seconds_until_next_poll
from airflow_provider_akkio.api.requester import NO_METRICS, MetricName, Metrics, Requester
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import (
    MAX_TRAINING_SECONDS,
    NOT_SUBMITTED_AGAIN,
    UNKNOWN_STATE,
    AkkioTask,
    AkkioTaskKind,
    AkkioTaskState,
    AkkioTaskStatus,
    TrainingResult,
    required_id,
    still_running_message,
)
from airflow_provider_akkio.exceptions import (
    AkkioChatFailedError,
    AkkioChatTimeoutError,
    AkkioError,
    AkkioNotFoundError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioSubmissionUnknownError,
    AkkioTrainingFailedError,
    AkkioTrainingTimeoutError,
    AkkioUnavailableError,
    AkkioUntrustedUrlError,
)

log = logging.getLogger(__name__)

OnStatus: TypeAlias = Callable[[AkkioTaskState], None]
"""Called with the state after each poll."""


class AkkioApi:
    """The operations of one account: trainings here, others in ``datasets``, ``models`` and ``chats``.

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
        self.chats = ChatApi(self._requester)

    def submit(self, request: TrainRequest) -> Flow[AkkioTask]:
        """Submit a training; retry up to five times, and for up to an hour while Akkio limits the rate.

        :raises AkkioSubmissionUnknownError: if ``force`` is set and Akkio may have started a training.
        """

        def parse(body: Mapping[str, Any]) -> AkkioTask:
            return AkkioTask(required_id(body, "task_id"), self._clock(), request.duration)

        def would_pay_twice(error: AkkioUnavailableError) -> bool:
            return bool(request.force) and error.outcome_is_unknown and not error.is_throttled

        message = Request(Method.POST, self._base_url.url("models", "train", "new"), request.to_json())
        purpose = f"Submitting a training of dataset {request.dataset_id!r}"
        try:
            training = yield from self._requester.submit(
                message, purpose, parse, may_retry=lambda error: not would_pay_twice(error)
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

    def status(
        self,
        akkio_task_id: str,
        deadline: float | None = None,
        due_at: float = 0.0,
        kind: AkkioTaskKind = AkkioTaskKind.TRAINING,
    ) -> Flow[AkkioTaskState]:
        """Poll a training or chat once; retry while Akkio is unavailable.

        :param deadline: time of the last attempt, in seconds since the epoch; default in five minutes.
        :param due_at: see :class:`~airflow_provider_akkio.api.http.Request`.
        :param kind: whether it is a training (default) or a chat.
        :raises AkkioNotFoundError: if Akkio does not know it, or not any more.
        """
        is_training = kind is AkkioTaskKind.TRAINING
        url = self._url(akkio_task_id, "status") if is_training else self.chats.status_url(akkio_task_id)
        purpose = f"Status of {kind} {akkio_task_id}"
        request = Request(Method.GET, url, due_at=due_at)
        # Only ten invalid responses in a row end a wait, of whatever shape: a training is paid for.
        return self._requester.read(partial(self._poll, purpose, request), deadline, math.inf)

    def result(
        self, akkio_task_id: str, location: str | None = None, deadline: float | None = None
    ) -> Flow[TrainingResult]:
        """Fetch the result of a training that succeeded; retry while Akkio is unavailable.

        If ``location`` has no valid result, or is outside the API root, fetch the documented URL instead.

        :param location: location of the result, from the training's state; default the documented URL.
        :param deadline: time of the last attempt, in seconds since the epoch; default in five minutes.
        :raises AkkioNotFoundError: if there is no result.
        """
        documented_url = self._url(akkio_task_id, "result")

        def fetch() -> Flow[TrainingResult]:
            invalid: AkkioResponseError | None = None
            try:
                url = documented_url if location is None else self._base_url.resolve(location)
                if url != documented_url:
                    return (yield from self._fetch_result(akkio_task_id, url))
            except (AkkioResponseError, AkkioRequestRejectedError, AkkioUntrustedUrlError) as error:
                log.warning("Training %s: %s Fetching the result from the documented URL.", akkio_task_id, error)
                invalid = error if isinstance(error, AkkioResponseError) else None
            try:
                return (yield from self._fetch_result(akkio_task_id, documented_url))
            except AkkioNotFoundError:
                if invalid is None:
                    raise
                raise invalid from None  # the location may have the result at the next attempt

        return (yield from self._requester.read(fetch, deadline))

    def poll_until_done(
        self,
        task: AkkioTask,
        deadline: float,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> Flow[AkkioTaskState]:
        """Poll a training or chat until it has succeeded.

        :param deadline: time of the last poll, in seconds since the epoch.
        :param poll_interval: seconds between two polls; default :func:`~.polling.seconds_until_next_poll`.
        :param on_status: called after each poll; default none.
        :return: the state ``SUCCEEDED``, with the location of the result if Akkio sent one.
        :raises AkkioTrainingFailedError: if Akkio reports that the training failed.
        :raises AkkioTrainingTimeoutError: if the training has not ended at the deadline.
        :raises AkkioChatFailedError: if Akkio reports that the chat failed.
        :raises AkkioChatTimeoutError: if the chat has not ended at the deadline.
        :raises AkkioNotFoundError: if Akkio has neither a status nor a result of the task.
        """
        polled = _Polled()
        if poll_interval is None and (delay := _seconds_until_first_poll(task, self._clock(), deadline)):
            yield Sleep(delay)
        due_at = self._clock()
        while True:
            poll = yield from self._poll_or_time_out(task, polled, deadline, due_at)
            state, now = poll.state, poll.at
            _log_change(task, polled, state)
            if on_status is not None:
                on_status(state)
            if state.known is AkkioTaskStatus.SUCCEEDED:
                self._record_durations(task, polled, now)
                return state
            if state.is_failed:
                raise _failure(task, state)
            if now >= deadline:
                raise _timeout(task, deadline, state)
            polled = polled.followed_by(poll)
            due_at = min(now + (poll_interval or self._seconds_until_next_poll(task, polled, now)), deadline)
            yield Sleep(max(0.0, due_at - self._clock()))

    def get_resumable_state(self, task: AkkioTask) -> Flow[AkkioTaskState | None]:
        """Return the state of a task that a previous attempt submitted, without retries.

        Akkio deletes a status after a day and may then report the task as pending. It keeps the result of a training.

        :return: its state, :data:`~.types.UNKNOWN_STATE` if Akkio is unavailable, or ``None`` if it cannot bring a
            result any more.
        :raises AkkioNotFoundError: if Akkio has neither a status nor a result of the task.
        """
        try:
            state = yield from self._status_or_result(task, deadline=self._clock())
            if state.is_waiting and (yield from self._has_result(task)):
                return AkkioTaskState(AkkioTaskStatus.SUCCEEDED)
        except AkkioUnavailableError:
            return UNKNOWN_STATE
        is_lost = state.is_waiting and self._clock() - task.submitted_at > MAX_TRAINING_SECONDS
        return None if state.is_failed or is_lost else state

    def test_connection(self) -> Flow[None]:
        """Check that Akkio is reachable and accepts the API key; nothing is started.

        Polls a training that does not exist. Akkio responds that it is pending, or with HTTP 404. A 404 may be from any
        other server, and an undocumented status, too. Then the list of datasets decides.

        :raises AkkioUnauthorizedError: if the key is wrong.
        :raises AkkioForbiddenError: if the key's organization has no access.
        :raises AkkioUnavailableError: if Akkio is unreachable, or the response is not from Akkio.
        """
        purpose = "Testing the connection"
        request = Request(Method.GET, self._url("airflow-connection-test", "status"))
        with suppress(AkkioNotFoundError):
            state = yield from self._requester.send(request, purpose, AkkioTaskState.from_json)
            if state.known is not None:
                return
        try:
            yield from self.datasets.list_once(purpose)
        except AkkioNotFoundError as error:
            raise AkkioResponseError(
                f"{purpose}: HTTP 404 for the list of datasets, which Akkio has. {self._base_url.origin} is another "
                f"server. Check the host of connection {self._requester.config.connection_id!r}.",
                outcome_is_unknown=False,
            ) from error

    def _poll_or_time_out(self, task: AkkioTask, polled: _Polled, deadline: float, due_at: float) -> Flow[_Poll]:
        """Poll once, and request the result if the training is reported as waiting, but may have ended.

        :raises AkkioTrainingTimeoutError: if the last poll failed.
        """
        try:
            state = yield from self._status_or_result(task, deadline, due_at)
        except AkkioUnavailableError as error:
            if self._clock() < deadline:
                raise
            raise _timeout(task, deadline, polled.state, f" The last poll failed: {error}") from error
        now = self._clock()
        if not _may_have_ended(task, polled, state, is_last_poll=now >= deadline):
            return _Poll(state, now)
        try:
            has_result = yield from self._has_result(task)
        except (AkkioRequestRejectedError, AkkioUnavailableError, AkkioUntrustedUrlError):
            return _Poll(state, now)
        return _Poll(
            AkkioTaskState(AkkioTaskStatus.SUCCEEDED) if has_result else state, now, has_no_result=not has_result
        )

    def _seconds_until_next_poll(self, task: AkkioTask, polled: _Polled, now: float) -> float:
        state = polled.state
        started_at = None if state.is_waiting else polled.waiting_at
        return seconds_until_next_poll(
            now - (task.submitted_at if started_at is None else started_at),
            duration=task.duration,
            estimate=state.estimate_seconds,
            is_waiting=state.is_waiting,
            seconds_per_round=self._seconds_per_round(),
        )

    def _record_durations(self, task: AkkioTask, polled: _Polled, now: float) -> None:
        if task.duration is not None:  # a chat, or a training whose submission is unknown, has no duration
            unfinished_at = task.submitted_at if polled.unfinished_at is None else polled.unfinished_at
            self._metrics.timing(MetricName.TRAINING_SECONDS, now - task.submitted_at)
            self._metrics.timing(MetricName.DETECTION_DELAY_SECONDS, now - unfinished_at)

    def _url(self, akkio_task_id: str, endpoint: str) -> str:
        return self._base_url.url("models", "train", akkio_task_id, endpoint)

    def _poll(self, purpose: str, request: Request) -> Flow[AkkioTaskState]:
        self._metrics.increment(MetricName.POLLS)
        try:
            return (yield from self._requester.send(request, purpose, AkkioTaskState.from_json))
        except AkkioUnavailableError:
            self._metrics.increment(MetricName.POLL_ERRORS)
            raise

    def _fetch_result(self, akkio_task_id: str, url: str) -> Flow[TrainingResult]:
        purpose = f"Result of training {akkio_task_id}"
        return self._requester.send(Request(Method.GET, url), purpose, TrainingResult.from_json)

    def _status_or_result(self, task: AkkioTask, deadline: float, due_at: float = 0.0) -> Flow[AkkioTaskState]:
        """Poll; if the status is gone, look for the result: Akkio keeps statuses for 24 hours, results for longer.

        The result of a chat has another ID, which only its status has.
        """
        akkio_task_id = task.akkio_task_id
        try:
            return (yield from self.status(akkio_task_id, deadline, due_at, task.kind))
        except AkkioNotFoundError as error:
            if task.kind is AkkioTaskKind.CHAT:
                raise AkkioNotFoundError(
                    f"Akkio does not know {task} (HTTP 404). It belongs to another account, or it ended more than 24 "
                    "hours ago. Check the connection, or clear the Airflow task to submit a new chat."
                ) from error
        try:
            yield from self.result(akkio_task_id, deadline=deadline)
        except AkkioNotFoundError as error:
            raise AkkioNotFoundError(
                f"Akkio has neither a status nor a result of training {akkio_task_id} (HTTP 404). It belongs to "
                "another account, or it ended without a model more than 24 hours ago. Check the connection, or clear "
                "the task to train again."
            ) from error
        return AkkioTaskState(AkkioTaskStatus.SUCCEEDED)

    def _has_result(self, task: AkkioTask) -> Flow[bool]:
        """Return whether Akkio has the result of a training; without retries."""
        if task.kind is AkkioTaskKind.CHAT:
            return False
        try:
            yield from self._fetch_result(task.akkio_task_id, self._url(task.akkio_task_id, "result"))
        except AkkioNotFoundError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Poll:
    """One poll of a wait.

    :param state: the state.
    :param at: when the response arrived, in seconds since the epoch.
    :param has_no_result: whether Akkio has also said that there is no result.
    """

    state: AkkioTaskState
    at: float
    has_no_result: bool = False


@dataclass(frozen=True, slots=True)
class _Polled:
    """What the polls of one wait have shown.

    :param state: the last state.
    :param unfinished_at: when the last poll showed it, in seconds since the epoch; ``None`` before the first poll.
    :param waiting_at: when a poll last showed that the training was waiting; ``None`` if none did.
    :param has_no_result: whether Akkio has said during a poll that there is no result.
    :param undocumented: the undocumented statuses.
    """

    state: AkkioTaskState = UNKNOWN_STATE
    unfinished_at: float | None = None
    waiting_at: float | None = None
    has_no_result: bool = False
    undocumented: frozenset[str] = frozenset()

    def followed_by(self, poll: _Poll) -> _Polled:
        """Return the same with another poll."""
        state = poll.state
        return replace(
            self,
            state=state,
            unfinished_at=poll.at,
            waiting_at=poll.at if state.is_waiting else self.waiting_at,
            has_no_result=self.has_no_result or poll.has_no_result,
            undocumented=self.undocumented | {state.status} if state.known is None else self.undocumented,
        )


def _seconds_until_first_poll(task: AkkioTask, now: float, deadline: float) -> float:
    """Return the delay of the first poll; 0 for a task that may have been submitted long ago."""
    elapsed = now - task.submitted_at
    if not task.is_submission_known or elapsed >= FIRST_POLL:
        return 0.0
    return max(0.0, min(seconds_until_next_poll(elapsed), deadline - now))


def _may_have_ended(task: AkkioTask, polled: _Polled, state: AkkioTaskState, *, is_last_poll: bool) -> bool:
    """Whether Akkio reports a training as waiting that may have ended.

    Akkio reports an unknown ID as pending, also that of a training whose status it has deleted. That is possible if
    the training was running before, or if it is unknown when it was submitted. The last poll leaves no other chance.
    """
    is_unknown = not task.is_submission_known and not polled.has_no_result
    return state.is_waiting and (is_unknown or is_last_poll or polled.state.known is AkkioTaskStatus.IN_PROGRESS)


def _log_change(task: AkkioTask, polled: _Polled, state: AkkioTaskState) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("Polled %s: %s", task, printable(str(state)))
    if state.known is None:
        if state.status not in polled.undocumented:
            log.warning("%s: undocumented status %r; polling continues.", task.title, printable(state.status))
    elif state.status != polled.state.status:
        estimate = "" if state.estimate_seconds is None else f", estimated duration {state.estimate_seconds:.0f} s"
        log.info("%s: %s%s", task.title, state.status, estimate)


def _failure(task: AkkioTask, state: AkkioTaskState) -> AkkioError:
    error_class = AkkioTrainingFailedError if task.kind is AkkioTaskKind.TRAINING else AkkioChatFailedError
    reason = printable(state.error or "") or "Akkio gave no reason"
    return error_class(
        f"{task.title} ended with status {state.status}: {reason.rstrip('.')}. Check its dataset and parameters."
    )


def _timeout(task: AkkioTask, deadline: float, last: AkkioTaskState, reason: str = "") -> AkkioError:
    error_class = AkkioTrainingTimeoutError if task.kind is AkkioTaskKind.TRAINING else AkkioChatTimeoutError
    seconds = max(0.0, deadline - task.submitted_at)
    return error_class(
        f"{task.title} did not end within {round(seconds, 3 if seconds < 10 else 0):g} s (last status: "
        f"{printable(last.status)}).{reason} {still_running_message(task.akkio_task_id, task.kind)}",
    )
