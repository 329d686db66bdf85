"""HTTP as values, without a network: requests, responses, and the flows that exchange them."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from airflow_provider_akkio import __version__
from airflow_provider_akkio.api.config import ApiVersion, ClientConfig
from airflow_provider_akkio.api.text import redact, redact_bytes

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Maximum size of a response body. Akkio's largest responses have some hundred kilobytes."""

MAX_RETRY_AFTER = 300.0
"""Maximum number of seconds that a ``Retry-After`` header can delay a request."""


class Method(StrEnum):
    """The HTTP methods that Akkio uses."""

    GET = "GET"
    POST = "POST"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. The client adds the API key and the timeout.

    :param url: the absolute URL, always below an API root of the configured base URL.
    :param json: the body of a ``POST`` or ``DELETE``.
    :param due_at: when the request is due, in seconds since the epoch. Of several queued requests, the client sends the
        earliest first; the default 0 precedes all others.
    :param api_version: version of the endpoint. It determines where the API key goes.
    :param min_timeout: seconds that the request may take even if the connection's ``timeout`` is shorter; default 0.
    """

    method: Method
    url: str
    json: Mapping[str, Any] | None = None
    due_at: float = 0.0
    api_version: ApiVersion = ApiVersion.V2
    min_timeout: float = 0.0

    def timeout(self, config: ClientConfig) -> float:
        """Return the seconds that the request may take in total."""
        return max(config.timeout, self.min_timeout)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, not yet decoded.

    :param body: the body, or the part of it that was received.
    :param defect: why the body is incomplete, as the predicate of a sentence; ``None`` if it is complete.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None
    defect: str | None = None


@dataclass(frozen=True, slots=True)
class TransportError:
    """A request that got no HTTP status.

    :param reason: what happened.
    :param was_sent: whether Akkio may have received the request.
    """

    reason: str
    was_sent: bool


@dataclass(frozen=True, slots=True)
class Sleep:
    """A delay between two requests."""

    seconds: float


Outcome = TypeVar("Outcome")

Flow: TypeAlias = Generator[Request | Sleep, Response | TransportError | None, Outcome]
"""Yields requests and sleeps, receives the response to each request (``None`` after a sleep), returns the outcome."""


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Parse a ``Retry-After`` header (RFC 9110, section 10.2.3).

    :param header: seconds or an HTTP date.
    :return: seconds between 1 and :data:`MAX_RETRY_AFTER`, also for a date in the past, since the server's clock may
        differ; ``None`` if the header is missing or invalid.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
            seconds = math.nan if date.tzinfo is None else date.timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 1.0), MAX_RETRY_AFTER)


def request_headers(config: ClientConfig) -> dict[str, str]:
    """Return the headers of every request.

    Responses are requested uncompressed, so that a small body cannot expand into a large one.
    """
    return {
        "X-API-Key": _SecretText(config.api_key),
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"airflow-provider-akkio/{__version__}",
    }


def authenticate(request: Request, config: ClientConfig) -> Request:
    """Add the API key to a v1 request: to the query of a ``GET``, else to the body. Return a v2 request unchanged."""
    if request.api_version is ApiVersion.V2:
        return request
    if request.method is Method.GET:
        separator = "&" if "?" in request.url else "?"
        return replace(request, url=_SecretText(f"{request.url}{separator}api_key={quote(config.api_key, safe='')}"))
    return replace(request, json={"api_key": _SecretText(config.api_key), **(request.json or {})})


def redact_key(response: Response | TransportError, key: str) -> Response | TransportError:
    """Return the response without the API key, which a server or a library may have echoed."""
    if isinstance(response, TransportError):
        return replace(response, reason=redact(response.reason, key))
    defect = response.defect and redact(response.defect, key)
    return replace(response, body=redact_bytes(response.body, key), defect=defect)


class _SecretText(str):
    """Text whose ``repr`` is masked: an error report or a debugger may show the headers and the request."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"
