"""What is counted and timed of the conversations with Akkio, wherever the numbers go."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Protocol, TypeVar, cast

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.http import (
    Flow,
    Request,
    Response,
    Sleep,
    TransportError,
    redact_key,
    retry_after_seconds,
)
from airflow_provider_akkio.api.polling import READ_TIMEOUT
from airflow_provider_akkio.api.text import MAX_PRINTABLE, printable
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioForbiddenError,
    AkkioNotFoundError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
    AkkioUntrustedUrlError,
)

log = logging.getLogger(__name__)


class MetricName(StrEnum):
    """The names under which the numbers are sent."""

    POLLS = "akkio.polls"
    POLL_ERRORS = "akkio.poll_errors"
    RATE_LIMITED = "akkio.rate_limited"
    TRAINING_SECONDS = "akkio.training_seconds"
    DETECTION_DELAY_SECONDS = "akkio.detection_delay_seconds"


class Metrics(Protocol):
    """Takes the numbers."""

    def increment(self, metric: MetricName) -> None:
        """Add one."""

    def timing(self, metric: MetricName, seconds: float) -> None:
        """Add a length of time."""


class NoMetrics:
    """Takes the numbers, and does nothing with them."""

    def increment(self, metric: MetricName) -> None:
        """Do nothing."""

    def timing(self, metric: MetricName, seconds: float) -> None:
        """Do nothing."""


NO_METRICS = NoMetrics()


MAX_NESTING = 100
"""Most levels that an answer may have: Airflow stores an XCom by recursion, of which a few hundred are too many."""

_NOT_BEGUN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)


def parse_response(config: ClientConfig, purpose: str, answer: Response | TransportError, now: float) -> dict[str, Any]:
    """Return the JSON object of an answer.

    :param config: whose answer it is.
    :param purpose: what was asked, to begin a message with, such as ``"Status of training T1"``.
    :param answer: what came back.
    :param now: the present, in seconds since the epoch.
    :raises AkkioUnavailableError: if trying again can help.
    :raises AkkioResponseError: likewise, if a success has no readable body.
    :raises AkkioRequestRejectedError: if it cannot.
    :raises AkkioUntrustedUrlError: if it is a redirect.
    """
    answer = redact_key(answer, config.api_key)
    if isinstance(answer, TransportError):
        raise AkkioUnavailableError(
            f"{purpose}: no answer from {config.base_url.origin} ({printable(answer.reason)}).",
            outcome_is_unknown=answer.was_sent,
        )
    if 200 <= answer.status < 300:
        return _json_object(purpose, answer)
    raise _error_for(config, purpose, answer, now)


def _json_object(purpose: str, answer: Response) -> dict[str, Any]:
    text = answer.body[: 4 * MAX_PRINTABLE].decode("utf-8", "replace")
    if answer.defect:
        raise AkkioResponseError(f"{purpose}: Akkio's answer {printable(answer.defect)}; it begins: {printable(text)}")
    try:
        whole = answer.body.decode("utf-8-sig")
        body = _JSON.decode(whole)
        body = _storable(body) if r"\u" in whole else body
    except (ValueError, RecursionError):
        raise AkkioResponseError(f"{purpose}: Akkio's answer is not JSON; it begins: {printable(text)}") from None
    if not isinstance(body, dict):
        raise AkkioResponseError(f"{purpose}: Akkio's answer is no JSON object; it begins: {printable(text)}")
    if whole.count("{") + whole.count("[") > MAX_NESTING and _is_too_deep(body):
        raise AkkioResponseError(f"{purpose}: Akkio's answer is nested too deeply; it begins: {printable(text)}")
    return body


def _is_too_deep(body: dict[str, Any]) -> bool:
    level: list[dict[str, Any] | list[Any]] = [body]
    for _ in range(MAX_NESTING):
        if not level:
            return False
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    return bool(level)


def _null(name: str) -> None:
    """Read ``NaN`` and ``Infinity``, which are no JSON, as null: PostgreSQL would refuse the whole XCom for one."""


def _finite(digits: str) -> float | None:
    """Read a number that is too large for a float as null, as :func:`_null` does."""
    number = float(digits)
    return number if math.isfinite(number) else None


_JSON = json.JSONDecoder(parse_constant=_null, parse_float=_finite)


def _storable(value: Any) -> Any:
    """Replace what JSON can escape and PostgreSQL cannot store: a NUL, or half of a surrogate pair."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    return value


def _error_for(config: ClientConfig, purpose: str, answer: Response, now: float) -> AkkioError:
    status = answer.status
    said = _detail(answer.body)
    if 300 <= status < 400:
        return AkkioUntrustedUrlError(
            f"{purpose}: {config.base_url.origin} answered with a redirect (HTTP {status}). It is not followed, since the "
            f"API key goes to that origin alone. Put the site's own address into connection {config.connection_id!r}."
        )
    retry_after = retry_after_seconds(answer.retry_after, now)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None):
        return AkkioUnavailableError(
            f"{purpose}: Akkio asks for fewer requests (HTTP {status}): {said}",
            outcome_is_unknown=status != HTTPStatus.TOO_MANY_REQUESTS,
            is_throttled=True,
            retry_after=retry_after,
        )
    if status in _NOT_BEGUN or not 400 <= status < 500:
        return AkkioUnavailableError(
            f"{purpose}: Akkio cannot answer now (HTTP {status}): {said}", outcome_is_unknown=status not in _NOT_BEGUN
        )
    return _refusal(config, purpose, status, said)


def _refusal(config: ClientConfig, purpose: str, status: int, said: str) -> AkkioRequestRejectedError:
    where = f"connection {config.connection_id!r}"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return AkkioUnauthorizedError(
                f"{purpose}: Akkio does not know the API key in the password of {where} (HTTP 401): {said}"
            )
        case HTTPStatus.FORBIDDEN:
            return AkkioForbiddenError(
                f"{purpose}: the organization of the API key in {where} may not do this (HTTP 403): {said}"
            )
        case HTTPStatus.NOT_FOUND:
            return AkkioNotFoundError(f"{purpose}: Akkio has nothing under this id (HTTP 404): {said}")
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            return AkkioUnprocessableError(f"{purpose}: Akkio refused the request (HTTP 422): {said}")
        case _:
            return AkkioRequestRejectedError(f"{purpose}: Akkio refused the request (HTTP {status}): {said}")


def _detail(body: bytes) -> str:
    """Return what an error answer says, in one line: ``detail``, or ``status`` of a legacy call, else its beginning."""
    text = body[: 16 * 1024].decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return printable(text) or "no explanation"
    detail = parsed.get("detail", parsed.get("status")) if isinstance(parsed, dict) else None
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        detail = "; ".join(_field_error(one) for one in detail[:10] if isinstance(one, Mapping))
    return printable(detail if isinstance(detail, str) and detail else text) or "no explanation"


def _field_error(error: Mapping[str, Any]) -> str:
    """Return ``field: reason`` for one entry of FastAPI's 422 answer."""
    location = error.get("loc")
    names = location if isinstance(location, list) else []
    field = ".".join(str(name) for name in names if name != "body") or "body"
    return f"{field}: {error.get('msg')}"


MAX_MALFORMED_IN_A_ROW = 10
_backoff = wait_exponential_jitter(initial=1, max=60, jitter=1)

Value = TypeVar("Value")


@dataclass(slots=True)
class RetryPolicy:
    """How long one request is tried: tenacity counts and computes, the conversation alone waits.

    :param clock: gives the present, in seconds since the epoch.
    :param deadline: when to stop in any case, in seconds since the epoch.
    :param counted: which failures count towards ``most``; being throttled never does.
    :param most: how many counted failures are tried again.
    """

    clock: Callable[[], float]
    deadline: float
    counted: type[AkkioUnavailableError]
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

    def pauses(self) -> Iterator[Sleep]:
        """Return how long to wait before the next attempt."""
        while self.asked_for:
            yield Sleep(self.asked_for.pop())

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


def _failure(state: RetryCallState) -> AkkioUnavailableError:
    """Return the failure to decide about; the retry conditions let no other kind through."""
    return cast("AkkioUnavailableError", state.outcome and state.outcome.exception())


def _log_retry(state: RetryCallState) -> None:
    log.warning("%s Trying again in %.0f s.", _failure(state), state.next_action.sleep if state.next_action else 0)


class Requester:
    """Puts questions to an account's Akkio.

    :param config: where it is, and what its connection is called.
    :param clock: gives the present, in seconds since the epoch.
    :param metrics: takes the numbers.
    """

    def __init__(self, config: ClientConfig, clock: Callable[[], float], metrics: Metrics) -> None:
        self.config = config
        self.clock = clock
        self._metrics = metrics

    def ask(self, request: Request, purpose: str, reader: Callable[[Mapping[str, Any]], Value]) -> Flow[Value]:
        """Put a question once, and return what ``reader`` makes of the answer.

        :param request: the question.
        :param purpose: what is asked, to begin a message with.
        :param reader: reads the answer's JSON object; raises :class:`AkkioResponseError` if it lacks something.
        :raises AkkioUnavailableError: if trying again can help.
        :raises AkkioRequestRejectedError: if it cannot.
        """
        answer = yield request
        if answer is None:
            raise TypeError("the client that drives a conversation must answer its requests")
        try:
            body = parse_response(self.config, purpose, answer, self.clock())
        except AkkioUnavailableError as error:
            if error.is_throttled:
                self._metrics.increment(MetricName.RATE_LIMITED)
            raise
        try:
            return reader(body)
        except AkkioResponseError as error:
            raise AkkioResponseError(f"{purpose}: {error} It begins: {printable(json.dumps(body))}") from None

    def read(self, ask: Callable[[], Flow[Value]], deadline: float | None = None) -> Flow[Value]:
        """Put a question that changes nothing until it is answered.

        :param ask: begins it, each time anew.
        :param deadline: until when to try, in seconds since the epoch; default for five minutes.
        :raises AkkioUnavailableError: if no answer came by then.
        """
        try:
            return (yield from ask())
        except AkkioUnavailableError as error:
            first: AkkioUnavailableError | None = error
        until = self.clock() + READ_TIMEOUT if deadline is None else deadline
        patience = RetryPolicy(self.clock, until, AkkioResponseError, MAX_MALFORMED_IN_A_ROW - 1)
        for attempt in patience.attempts(lambda error: isinstance(error, AkkioUnavailableError)):
            yield from patience.pauses()
            with attempt:
                if first is not None:  # most questions are answered at once, and need none of this
                    failure, first = first, None
                    raise failure
                value = yield from ask()
        return value
