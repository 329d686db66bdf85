"""What goes over the wire, without the wire: requests, answers, and conversations made of them."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import pendulum

from airflow_provider_akkio import __version__
from airflow_provider_akkio.api.config import ApiVersion, ClientConfig

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Longest answer that is read; a longer one is not Akkio's."""

MAX_RETRY_AFTER = 300.0
"""Longest wait, in seconds, that an answer may ask for."""


class Method(StrEnum):
    """The HTTP methods that Akkio's endpoints take."""

    GET = "GET"
    POST = "POST"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; the client adds the key and the time limit.

    :param method: the HTTP method.
    :param url: the whole URL, always below one of the account's API roots.
    :param json: the body, for a ``POST`` or ``DELETE``.
    :param due_at: since when it is wanted, in seconds since the epoch: where requests queue, the one that has been
        wanted longest goes first, and by default before all that have a time.
    :param api_version: of which calls it is one, which says where the key goes.
    """

    method: Method
    url: str
    json: Mapping[str, Any] | None = None
    due_at: float = 0.0
    api_version: ApiVersion = ApiVersion.V2


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, undecoded.

    :param status: the HTTP status.
    :param body: the body, or the part of it that arrived.
    :param retry_after: the ``Retry-After`` header, as it was sent.
    :param defect: why ``body`` is not whole, if it is not.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None
    defect: str | None = None


@dataclass(frozen=True, slots=True)
class TransportError:
    """No status line came back.

    :param reason: what happened, for a person.
    :param was_sent: whether the request may have reached Akkio.
    """

    reason: str
    was_sent: bool


@dataclass(frozen=True, slots=True)
class Sleep:
    """A wait between two requests.

    :param seconds: how long.
    """

    seconds: float


Outcome = TypeVar("Outcome")

Flow: TypeAlias = Generator[Request | Sleep, Response | TransportError | None, Outcome]
"""Yields what to do next, is sent what came of it, and returns the outcome.

A blocking and an asynchronous client both drive the same conversation, so that nothing about Akkio is written twice.
"""


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Return how long to wait for a ``Retry-After`` header, or ``None`` if it says nothing usable.

    It is a second at least: a clock that goes a little differently makes a date one of the past.

    :param header: seconds or an HTTP date (RFC 9110, section 10.2.3).
    :param now: the present, in seconds since the epoch.
    :return: seconds between 1 and :data:`MAX_RETRY_AFTER`.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - pendulum.from_timestamp(now)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 1.0), MAX_RETRY_AFTER)


def request_headers(config: ClientConfig) -> dict[str, str]:
    """Return the headers of each request for an account.

    Answers come uncompressed: the longest is some hundred kilobytes, and a small body cannot then become a large one.
    """
    return {
        "X-API-Key": _Unshown(config.api_key),
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"airflow-provider-akkio/{__version__}",
    }


def authenticate(request: Request, config: ClientConfig) -> Request:
    """Return a request as it leaves: a legacy call has the key in its query, or in its body if it has one.

    :param request: as a conversation yields it, without a key.
    :param config: whose key.
    """
    if request.api_version is ApiVersion.V2:
        return request
    if request.method is Method.GET:
        mark = "&" if "?" in request.url else "?"
        return replace(request, url=f"{request.url}{mark}api_key={quote(config.api_key, safe='')}")
    return replace(request, json={"api_key": config.api_key, **(request.json or {})})


class _Unshown(str):
    """A text that is sent as it is, and not shown where the headers are: in a session's, or in an error's."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


REDACTED = "***"
_SHORTEST_KEY = 5


def redact_key(answer: Response | TransportError, key: str) -> Response | TransportError:
    """Return an answer in whose texts the key is replaced by ``***``, also where URLs, JSON, Python or HTML quote it.

    JSON stays JSON: a key with a letter in it stands inside of strings alone. What is encoded as a whole, as in base64,
    is not found. A key of fewer than five characters stays, as it does in Airflow's masker, and so does one without a
    letter or digit: no service gives such a key, and it would be found in any text.

    :param answer: what came back.
    :param key: the API key.
    """
    letters, pattern = _spellings(key)
    if not letters:
        return answer
    if isinstance(answer, TransportError):
        return replace(answer, reason=_redacted(answer.reason, pattern))
    if letters not in answer.body and answer.defect is None:
        return answer
    defect = answer.defect and _redacted(answer.defect, pattern)
    return replace(answer, body=pattern.sub(REDACTED.encode(), answer.body), defect=defect)


def _redacted(text: str, pattern: re.Pattern[bytes]) -> str:
    return pattern.sub(REDACTED.encode(), text.encode(errors="replace")).decode()


@lru_cache(maxsize=16)
def _spellings(key: str) -> tuple[bytes, re.Pattern[bytes]]:
    """Return the longest part of a key that no quoting changes, by which most texts are told, and what finds it all.

    A search that begins with a letter is quick; what stands before the key's first one gives nothing away. There is no
    such part of a key that is not looked for.
    """
    letters = max(re.findall(r"[A-Za-z0-9]*", key), key=len)
    if len(key) < _SHORTEST_KEY or not letters:
        return b"", re.compile(b"")
    from_letter = re.sub(r"^[^A-Za-z0-9]+", "", key)
    pattern = "".join(_spelling(character, len(list(run))) for character, run in groupby(from_letter))
    return letters.encode(), re.compile(pattern.encode())


def _spelling(character: str, times: int) -> str:
    """Return a pattern for a repeated character: by itself, in HTML, in a URL, in JSON or Python, behind backslashes.

    Its repetitions are bounded, and it is plain which character each backslash belongs to: no answer may hold the
    triggerer up.
    """
    if character.isalnum():
        return character * times
    if character == "\\":
        return rf"(?:(?:\\|%(?:25){{0,3}}5[cC]|&#92;){{{times},{8 * times}}}+)"
    code = ord(character)
    forms = [
        re.escape(character),
        re.escape(html.escape(character)),
        rf"(?i:%(?:25){{0,3}}{code:02x}|u{code:04x}|x{code:02x}|&(?:amp;)?#(?:0{{0,4}}{code}|x0{{0,4}}{code:x});)",
    ]
    return rf"(?:\\{{0,8}}+(?:{'|'.join(forms)})){{{times}}}"
