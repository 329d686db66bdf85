"""Send requests as flows: parse responses into values or errors, and retry."""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.errors import error_for
from airflow_provider_akkio.api.http import Flow, Request, Response, Sleep, TransportError, redact_key
from airflow_provider_akkio.api.text import MAX_PRINTABLE, printable
from airflow_provider_akkio.exceptions import AkkioResponseError, AkkioUnavailableError

log = logging.getLogger(__name__)

Value = TypeVar("Value")

MAX_NESTING = 100
"""Maximum nesting depth of a response. Airflow serializes XComs by recursion, which fails at a few hundred levels."""

MAX_RETRY_SECONDS = 300.0
"""Seconds for which a request is retried, unless the deadline of a training applies."""

MAX_SUBMIT_RETRY_SECONDS = 3600.0
"""Seconds for which a submission is retried while Akkio limits the rate."""

MAX_COMPLETE_SECONDS = 30.0
"""Seconds for which a read is retried while each response is complete JSON, but not what Akkio documents."""

MAX_SUBMISSIONS = 6
"""Attempts after which a submission fails."""

MAX_INVALID_RESPONSES = 10
"""Consecutive invalid responses after which a read fails."""

_MAX_BACKOFF = 60.0


class MetricName(StrEnum):
    """The names of all metrics."""

    POLLS = "akkio.polls"
    POLL_ERRORS = "akkio.poll_errors"
    RATE_LIMITED = "akkio.rate_limited"
    TRAINING_SECONDS = "akkio.training_seconds"
    DETECTION_DELAY_SECONDS = "akkio.detection_delay_seconds"


class Metrics(Protocol):
    """Receiver of metrics."""

    def increment(self, metric: MetricName) -> None:
        """Increment a counter."""

    def timing(self, metric: MetricName, seconds: float) -> None:
        """Record a duration."""


class _NoMetrics:
    def increment(self, metric: MetricName) -> None: ...

    def timing(self, metric: MetricName, seconds: float) -> None: ...


NO_METRICS = _NoMetrics()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits for the retries of one request.

    :param deadline: time of the last attempt, in seconds since the epoch.
    :param max_failures: number of failures after which there is no retry. Rate limiting is not a failure.
    :param counted: class of the errors that count as failures. Any other error resets the count.
    :param max_complete_seconds: seconds for which complete responses of an unexpected shape are retried; default
        without this limit.
    """

    deadline: float
    max_failures: int
    counted: type[AkkioUnavailableError] = AkkioUnavailableError
    max_complete_seconds: float = math.inf


class Requester:
    """Sends the requests of one client.

    :meth:`retry` does not use tenacity, which cannot drive a generator that yields its sleeps.
    """

    def __init__(self, config: ClientConfig, clock: Callable[[], float], metrics: Metrics) -> None:
        self.config = config
        self.clock = clock
        self._metrics = metrics

    def send(self, request: Request, purpose: str, parse: Callable[[Mapping[str, Any]], Value]) -> Flow[Value]:
        """Send a request once whose response is a JSON object; see :meth:`send_for_any`."""

        def parse_object(body: Any) -> Value:
            if not isinstance(body, dict):
                raise AkkioResponseError("Akkio's response is not a JSON object.")
            return parse(body)

        return self.send_for_any(request, purpose, parse_object)

    def send_for_any(self, request: Request, purpose: str, parse: Callable[[Any], Value]) -> Flow[Value]:
        """Send a request once whose response may be any JSON value.

        :param purpose: what the request is for, as the beginning of messages, such as ``"Status of training T1"``.
        :param parse: parses the JSON value of the response; raises :class:`AkkioResponseError` if it is invalid.
        :raises AkkioError: see :func:`parse_response`.
        """
        response = yield request
        if response is None:
            raise TypeError("The client must send a response for every request of a flow.")
        try:
            body = parse_response(self.config, purpose, response, self.clock())
        except AkkioUnavailableError as error:
            if error.is_throttled:
                self._metrics.increment(MetricName.RATE_LIMITED)
            raise
        try:
            return parse(body)
        except AkkioResponseError as error:
            message = f"{purpose}: {error} It begins: {printable(json.dumps(body))}"
            raise AkkioResponseError(message, is_complete=True) from None

    def read(
        self,
        attempt: Callable[[], Flow[Value]],
        deadline: float | None = None,
        max_complete_seconds: float = MAX_COMPLETE_SECONDS,
    ) -> Flow[Value]:
        """Repeat an idempotent request until it succeeds, except after ten consecutive invalid responses.

        :param attempt: starts an attempt, such as :meth:`send`.
        :param deadline: time of the last attempt, in seconds since the epoch; default in five minutes.
        :param max_complete_seconds: see :class:`RetryPolicy`; default 30.
        """
        deadline = self.clock() + MAX_RETRY_SECONDS if deadline is None else deadline
        return self.retry(
            attempt, RetryPolicy(deadline, MAX_INVALID_RESPONSES, AkkioResponseError, max_complete_seconds)
        )

    def submit(
        self,
        request: Request,
        purpose: str,
        parse: Callable[[Mapping[str, Any]], Value],
        may_retry: Callable[[AkkioUnavailableError], bool] = lambda _: True,
    ) -> Flow[Value]:
        """Send a submission; retry up to five times, and for up to an hour while Akkio limits the rate.

        The parameters are those of :meth:`send` and :meth:`retry`.
        """
        policy = RetryPolicy(self.clock() + MAX_SUBMIT_RETRY_SECONDS, MAX_SUBMISSIONS)
        return self.retry(lambda: self.send(request, purpose, parse), policy, may_retry)

    def retry(
        self,
        attempt: Callable[[], Flow[Value]],
        policy: RetryPolicy,
        may_retry: Callable[[AkkioUnavailableError], bool] = lambda _: True,
    ) -> Flow[Value]:
        """Retry while Akkio is unavailable, after its ``Retry-After`` or with exponential backoff.

        :param attempt: starts an attempt.
        :param may_retry: returns whether a retry is safe after this error; default always.
        """
        attempts = failures = 0
        complete_since: float | None = None
        while True:
            try:
                return (yield from attempt())
            except AkkioUnavailableError as error:
                attempts += 1
                if not isinstance(error, policy.counted):
                    failures = 0
                elif not error.is_throttled:
                    failures += 1
                now = self.clock()
                remaining = policy.deadline - now
                if isinstance(error, AkkioResponseError) and error.is_complete:
                    complete_since = now if complete_since is None else complete_since
                    remaining = min(remaining, complete_since + policy.max_complete_seconds - now)
                else:
                    complete_since = None
                if remaining <= 0 or failures >= policy.max_failures or not may_retry(error):
                    raise
                seconds = min(_backoff(attempts) if error.retry_after is None else error.retry_after, remaining)
                log.warning("%s; retrying in %.0f s", str(error).rstrip("."), seconds)
            yield Sleep(seconds)


def _backoff(attempts: int) -> float:
    jitter = random.uniform(0, 1)  # noqa: S311 - not used for security
    return min(2.0 ** min(attempts - 1, 10) + jitter, _MAX_BACKOFF)


def parse_response(config: ClientConfig, purpose: str, response: Response | TransportError, now: float) -> Any:
    """Return the JSON value of a response, without the API key.

    :param purpose: what the request was for, as the beginning of messages.
    :raises AkkioUnavailableError: if a retry can succeed.
    :raises AkkioResponseError: the same, if the response is not complete JSON, or an HTTP 404 not from Akkio.
    :raises AkkioRequestRejectedError: if Akkio rejected the request.
    :raises AkkioUntrustedUrlError: if the response is a redirect.
    """
    response = redact_key(response, config.api_key)
    if isinstance(response, TransportError):
        raise AkkioUnavailableError(
            f"{purpose}: connection to {config.base_url.origin} failed ({printable(response.reason)}).",
            outcome_is_unknown=response.was_sent,
        )
    if 200 <= response.status < 300:
        return _parse_json(purpose, response)
    raise error_for(config, purpose, response, now)


def _parse_json(purpose: str, response: Response) -> Any:
    defect = response.defect
    if defect is None:
        try:
            return _storable(_JSON.decode(response.body.decode("utf-8-sig")), MAX_NESTING)
        except (ValueError, RecursionError) as error:
            defect = f"is not valid JSON ({error})"
    beginning = response.body[: 4 * MAX_PRINTABLE].decode("utf-8", "replace")
    raise AkkioResponseError(f"{purpose}: Akkio's response {printable(defect)}. It begins: {printable(beginning)}")


def _parse_constant(_: str) -> None:
    """Replace ``NaN`` and ``Infinity``: PostgreSQL rejects an XCom that contains one."""


def _parse_float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_JSON = json.JSONDecoder(parse_constant=_parse_constant, parse_float=_parse_float)


def _storable(value: Any, levels: int) -> Any:
    """Return a value that PostgreSQL can store as JSON: no NUL, no lone surrogate, and limited nesting."""
    if isinstance(value, str):
        return value if value.isprintable() else value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise ValueError(f"nested deeper than {MAX_NESTING} levels")
    if isinstance(value, list):
        return [_storable(item, levels - 1) for item in value]
    return {_storable(key, 0): _storable(item, levels - 1) for key, item in value.items()}
