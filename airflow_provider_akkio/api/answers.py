"""What an answer means: a JSON object, or an error that says whether trying again can help."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.messages import Answer, NoAnswer, retry_after_seconds
from airflow_provider_akkio.api.quoting import MAX_QUOTED, quoted
from airflow_provider_akkio.api.redaction import without_key
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioForbidden,
    AkkioMalformedAnswer,
    AkkioNotFound,
    AkkioRequestRefused,
    AkkioUnauthorized,
    AkkioUnavailable,
    AkkioUnprocessable,
    AkkioUntrustedAddress,
)

MAX_NESTING = 100
"""Most levels that an answer may have: Airflow stores an XCom by recursion, of which a few hundred are too many."""

_NOT_BEGUN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)


def read_answer(account: Account, purpose: str, answer: Answer | NoAnswer, now: float) -> dict[str, Any]:
    """Return the JSON object of an answer.

    :param account: whose answer it is.
    :param purpose: what was asked, to begin a message with, such as ``"Status of training T1"``.
    :param answer: what came back.
    :param now: the present, in seconds since the epoch.
    :raises AkkioUnavailable: if trying again can help.
    :raises AkkioMalformedAnswer: likewise, if a success has no readable body.
    :raises AkkioRequestRefused: if it cannot.
    :raises AkkioUntrustedAddress: if it is a redirect.
    """
    answer = without_key(answer, account.key)
    if isinstance(answer, NoAnswer):
        raise AkkioUnavailable(
            f"{purpose}: no answer from {account.site.origin} ({quoted(answer.reason)}).",
            outcome_is_unknown=answer.was_sent,
        )
    if 200 <= answer.status < 300:
        return _json_object(purpose, answer)
    raise _failure(account, purpose, answer, now)


def _json_object(purpose: str, answer: Answer) -> dict[str, Any]:
    text = answer.body[: 4 * MAX_QUOTED].decode("utf-8", "replace")
    if answer.defect:
        raise AkkioMalformedAnswer(f"{purpose}: Akkio's answer {quoted(answer.defect)}; it begins: {quoted(text)}")
    try:
        whole = answer.body.decode("utf-8-sig")
        body = _JSON.decode(whole)
        body = _storable(body) if r"\u" in whole else body
    except (ValueError, RecursionError):
        raise AkkioMalformedAnswer(f"{purpose}: Akkio's answer is not JSON; it begins: {quoted(text)}") from None
    if not isinstance(body, dict):
        raise AkkioMalformedAnswer(f"{purpose}: Akkio's answer is no JSON object; it begins: {quoted(text)}")
    if whole.count("{") + whole.count("[") > MAX_NESTING and _is_too_deep(body):
        raise AkkioMalformedAnswer(f"{purpose}: Akkio's answer is nested too deeply; it begins: {quoted(text)}")
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


def _failure(account: Account, purpose: str, answer: Answer, now: float) -> AkkioError:
    status = answer.status
    said = _detail(answer.body)
    if 300 <= status < 400:
        return AkkioUntrustedAddress(
            f"{purpose}: {account.site.origin} answered with a redirect (HTTP {status}). It is not followed, since the "
            f"API key goes to that origin alone. Put the site's own address into connection {account.connection!r}."
        )
    retry_after = retry_after_seconds(answer.retry_after, now)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None):
        return AkkioUnavailable(
            f"{purpose}: Akkio asks for fewer requests (HTTP {status}): {said}",
            outcome_is_unknown=status != HTTPStatus.TOO_MANY_REQUESTS,
            is_throttled=True,
            retry_after=retry_after,
        )
    if status in _NOT_BEGUN or not 400 <= status < 500:
        return AkkioUnavailable(
            f"{purpose}: Akkio cannot answer now (HTTP {status}): {said}", outcome_is_unknown=status not in _NOT_BEGUN
        )
    return _refusal(account, purpose, status, said)


def _refusal(account: Account, purpose: str, status: int, said: str) -> AkkioRequestRefused:
    where = f"connection {account.connection!r}"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return AkkioUnauthorized(
                f"{purpose}: Akkio does not know the API key in the password of {where} (HTTP 401): {said}"
            )
        case HTTPStatus.FORBIDDEN:
            return AkkioForbidden(
                f"{purpose}: the organization of the API key in {where} may not do this (HTTP 403): {said}"
            )
        case HTTPStatus.NOT_FOUND:
            return AkkioNotFound(f"{purpose}: Akkio has nothing under this id (HTTP 404): {said}")
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            return AkkioUnprocessable(f"{purpose}: Akkio refused the request (HTTP 422): {said}")
        case _:
            return AkkioRequestRefused(f"{purpose}: Akkio refused the request (HTTP {status}): {said}")


def _detail(body: bytes) -> str:
    """Return what an error answer says, in one line: ``detail``, or ``status`` of a legacy call, else its beginning."""
    text = body[: 16 * 1024].decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return quoted(text) or "no explanation"
    detail = parsed.get("detail", parsed.get("status")) if isinstance(parsed, dict) else None
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        detail = "; ".join(_field_error(one) for one in detail[:10] if isinstance(one, Mapping))
    return quoted(detail if isinstance(detail, str) and detail else text) or "no explanation"


def _field_error(error: Mapping[str, Any]) -> str:
    """Return ``field: reason`` for one entry of FastAPI's 422 answer."""
    location = error.get("loc")
    names = location if isinstance(location, list) else []
    field = ".".join(str(name) for name in names if name != "body") or "body"
    return f"{field}: {error.get('msg')}"
