"""What goes over the wire, without the wire: requests, answers, and conversations made of them."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

import pendulum

from airflow_provider_akkio.api.location import Generation

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
    :param wanted_at: since when it is wanted, in seconds since the epoch: where requests queue, the one that has been
        wanted longest goes first, and by default before all that have a time.
    :param generation: of which calls it is one, which says where the key goes.
    """

    method: Method
    url: str
    json: Mapping[str, Any] | None = None
    wanted_at: float = 0.0
    generation: Generation = Generation.CURRENT


@dataclass(frozen=True, slots=True)
class Answer:
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
class NoAnswer:
    """No status line came back.

    :param reason: what happened, for a person.
    :param was_sent: whether the request may have reached Akkio.
    """

    reason: str
    was_sent: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait between two requests.

    :param seconds: how long.
    """

    seconds: float


Outcome = TypeVar("Outcome")

Conversation: TypeAlias = Generator[Request | Pause, Answer | NoAnswer | None, Outcome]
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
