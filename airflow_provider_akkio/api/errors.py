"""Map error responses to exceptions: every HTTP status but 2xx, and v1 responses whose ``status`` is an error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.http import Response, retry_after_seconds
from airflow_provider_akkio.api.text import printable
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

_REJECTED = (AkkioRequestRejectedError, "Akkio rejected the request", "")
_REJECTIONS: Mapping[int, tuple[type[AkkioRequestRejectedError], str, str]] = {
    401: (AkkioUnauthorizedError, "Akkio rejected the API key", " Check the password of connection {!r}."),
    403: (AkkioForbiddenError, "the API key's organization has no access", " Check the key in connection {!r}."),
    404: (AkkioNotFoundError, "Akkio does not know this ID", " Check the ID and connection {!r}."),
    422: (AkkioUnprocessableError, "Akkio rejected the request", ""),
}

_MAX_ERROR_BYTES = 1024 * 1024
"""Errors are parsed on the event loop of the triggerer. Akkio's have some hundred bytes."""

_WAS_NOT_EXECUTED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

_FAULT = "missing|invalid|not valid|wrong|incorrect|unknown|unauthori[sz]ed|expired|revoked|required"
_API_KEY = "api[ _-]?key"
_API_KEY_IS_REJECTED = re.compile(
    rf"\b(?:no|{_FAULT}):? (?:(?:or|and) (?:{_FAULT}) )?(?:your )?{_API_KEY}\b(?! (?:columns?|fields?|values?)\b)"
    rf"|\b{_API_KEY}:? (?:is |was |has |field )?(?:{_FAULT}|not found|not recogni[sz]ed)\b",
    re.IGNORECASE,
)


def error_for(config: ClientConfig, purpose: str, response: Response, now: float) -> AkkioError:
    """Return the exception for a response with any HTTP status but 2xx.

    :param purpose: what the request was for, as the beginning of messages.
    :param now: the current time, in seconds since the epoch.
    """
    status = response.status
    if 300 <= status < 400:
        return AkkioUntrustedUrlError(
            f"{purpose}: {config.base_url.origin} sent a redirect (HTTP {status}). It was not followed, because the "
            f"API key is sent only to that origin. Check the host of connection {config.connection_id!r}."
        )
    text = response.body[:_MAX_ERROR_BYTES].decode("utf-8-sig", "replace")
    body = _parse(text)
    reason = reason_from(body, text)
    if status == HTTPStatus.NOT_FOUND and not _is_akkio_error(body):
        beginning = f" It begins: {reason}" if reason else ""
        problem = printable(response.defect or "is not from Akkio")
        return AkkioResponseError(
            f"{purpose}: HTTP {status}, and the response {problem}. Check the host of connection "
            f"{config.connection_id!r}.{beginning}",
            outcome_is_unknown=False,
        )
    if 400 <= status < 500 and status not in _WAS_NOT_EXECUTED:
        return rejection_for(config.connection_id, purpose, reason, status)
    retry_after = retry_after_seconds(response.retry_after, now)
    is_throttled = status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
    )
    problem = "rate limited by Akkio" if is_throttled else "Akkio is unavailable"
    return AkkioUnavailableError(
        f"{purpose}: {problem} (HTTP {status}){_suffix(reason)}.",
        outcome_is_unknown=status not in _WAS_NOT_EXECUTED,
        is_throttled=is_throttled,
        retry_after=retry_after if is_throttled else None,
    )


def rejection_for(connection_id: str, purpose: str, reason: str, status: int) -> AkkioRequestRejectedError:
    """Return the exception for a request that Akkio rejected.

    A reason that says that the API key is missing or invalid precedes the HTTP status, except 403: the v1 API documents
    it with HTTP 404.

    :param reason: the result of :func:`reason_from`.
    :param status: the HTTP status: 4xx, or 2xx for a v1 response whose ``status`` is an error.
    """
    is_about_key = status != HTTPStatus.FORBIDDEN and _API_KEY_IS_REJECTED.search(reason) is not None
    error_class, problem, advice = _REJECTIONS.get(HTTPStatus.UNAUTHORIZED if is_about_key else status, _REJECTED)
    http = "" if 200 <= status < 300 else f" (HTTP {status})"
    return error_class(f"{purpose}: {problem}{http}{_suffix(reason)}.{advice.format(connection_id)}")


def reason_from(body: Any, text: str) -> str:
    """Return Akkio's reason for an error on one line, without a full stop at the end.

    :param body: the parsed response. Its reason is ``detail``, else ``status`` and ``message``.
    :param text: the response as text, for a body without a reason.
    """
    return printable((_described(body) if isinstance(body, Mapping) else "") or text).rstrip(".")


def _described(body: Mapping[str, Any]) -> str:
    detail, status, message = body.get("detail"), body.get("status"), body.get("message")
    if isinstance(detail, list):
        detail = "; ".join(_field_error(entry) for entry in detail[:10] if isinstance(entry, Mapping))
    if isinstance(detail, str) and detail:
        return detail
    return ": ".join(part for part in (status, message) if isinstance(part, str) and part)


def _field_error(error: Mapping[str, Any]) -> str:
    """Return ``field: reason`` for an entry of a response with HTTP 422."""
    location = error.get("loc")
    names = location if isinstance(location, list) else []
    field = ".".join(str(name) for name in names if name != "body") or "body"
    return f"{field}: {error.get('msg')}"


def _is_akkio_error(body: Any) -> bool:
    """Whether a body is an error object as Akkio sends it, with ``detail`` (v2) or a text in ``status`` (v1)."""
    return isinstance(body, Mapping) and (
        isinstance(body.get("detail"), str | list) or isinstance(body.get("status"), str)
    )


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _suffix(reason: str) -> str:
    return f": {reason}" if reason else ""
