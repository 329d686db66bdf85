"""How a question is put to Akkio, and for how long it is put again: the same for trainings, datasets and models."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.answers import read_answer
from airflow_provider_akkio.api.messages import Conversation, Pause, Request
from airflow_provider_akkio.api.meter import Meter, Metric
from airflow_provider_akkio.api.pacing import READ_PATIENCE
from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.exceptions import AkkioMalformedAnswer, AkkioUnavailable

log = logging.getLogger(__name__)

MAX_MALFORMED_IN_A_ROW = 10
_backoff = wait_exponential_jitter(initial=1, max=60, jitter=1)

Value = TypeVar("Value")


@dataclass(slots=True)
class Patience:
    """How long one request is tried: tenacity counts and computes, the conversation alone waits.

    :param clock: gives the present, in seconds since the epoch.
    :param deadline: when to stop in any case, in seconds since the epoch.
    :param counted: which failures count towards ``most``; being throttled never does.
    :param most: how many counted failures are tried again.
    """

    clock: Callable[[], float]
    deadline: float
    counted: type[AkkioUnavailable]
    most: int
    failures: int = 0
    asked_for: list[float] = field(default_factory=list)

    def attempts(self, may_try_again: Callable[[BaseException], bool]) -> Retrying:
        """Return what to iterate over; between two attempts the :meth:`pauses` are to be yielded.

        :param may_try_again: tells whether another try may follow a failure.
        """
        return Retrying(
            retry=retry_if_exception(may_try_again),
            stop=self._stop,
            wait=self._wait,
            sleep=self.asked_for.append,
            before_sleep=_log_retry,
            reraise=True,
        )

    def pauses(self) -> Iterator[Pause]:
        """Return how long to wait before the next attempt."""
        while self.asked_for:
            yield Pause(self.asked_for.pop())

    def _stop(self, state: RetryCallState) -> bool:
        error = _failure(state)
        if not isinstance(error, self.counted):
            self.failures = 0
        elif not error.is_throttled:
            self.failures += 1
        return self.failures > self.most or self.clock() >= self.deadline

    def _wait(self, state: RetryCallState) -> float:
        retry_after = _failure(state).retry_after
        seconds = _backoff(state) if retry_after is None else retry_after
        return max(0.0, min(seconds, self.deadline - self.clock()))


def _failure(state: RetryCallState) -> AkkioUnavailable:
    """Return the failure to decide about; the retry conditions let no other kind through."""
    return cast("AkkioUnavailable", state.outcome and state.outcome.exception())


def _log_retry(state: RetryCallState) -> None:
    log.warning("%s Trying again in %.0f s.", _failure(state), state.next_action.sleep if state.next_action else 0)


class Asking:
    """Puts questions to an account's Akkio.

    :param account: where it is, and what its connection is called.
    :param clock: gives the present, in seconds since the epoch.
    :param meter: takes the numbers.
    """

    def __init__(self, account: Account, clock: Callable[[], float], meter: Meter) -> None:
        self.account = account
        self.clock = clock
        self._meter = meter

    def ask(self, request: Request, purpose: str, reader: Callable[[Mapping[str, Any]], Value]) -> Conversation[Value]:
        """Put a question once, and return what ``reader`` makes of the answer.

        :param request: the question.
        :param purpose: what is asked, to begin a message with.
        :param reader: reads the answer's JSON object; raises :class:`AkkioMalformedAnswer` if it lacks something.
        :raises AkkioUnavailable: if trying again can help.
        :raises AkkioRequestRefused: if it cannot.
        """
        answer = yield request
        if answer is None:
            raise TypeError("the client that drives a conversation must answer its requests")
        try:
            body = read_answer(self.account, purpose, answer, self.clock())
        except AkkioUnavailable as error:
            if error.is_throttled:
                self._meter.count(Metric.RATE_LIMITED)
            raise
        try:
            return reader(body)
        except AkkioMalformedAnswer as error:
            raise AkkioMalformedAnswer(f"{purpose}: {error} It begins: {quoted(json.dumps(body))}") from None

    def read(self, ask: Callable[[], Conversation[Value]], deadline: float | None = None) -> Conversation[Value]:
        """Put a question that changes nothing until it is answered.

        :param ask: begins it, each time anew.
        :param deadline: until when to try, in seconds since the epoch; default for five minutes.
        :raises AkkioUnavailable: if no answer came by then.
        """
        try:
            return (yield from ask())
        except AkkioUnavailable as error:
            first: AkkioUnavailable | None = error
        until = self.clock() + READ_PATIENCE if deadline is None else deadline
        patience = Patience(self.clock, until, AkkioMalformedAnswer, MAX_MALFORMED_IN_A_ROW - 1)
        for attempt in patience.attempts(lambda error: isinstance(error, AkkioUnavailable)):
            yield from patience.pauses()
            with attempt:
                if first is not None:  # most questions are answered at once, and need none of this
                    failure, first = first, None
                    raise failure
                value = yield from ask()
        return value
