"""Akkio's older generation of calls, by which datasets and models are reached, and what their answers mean.

They answer ``{"status": "success", …}``, and otherwise a text in ``status``, whatever the HTTP status. Source: the
legacy part of Akkio's API documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote

from airflow_provider_akkio.api.asking import Asking
from airflow_provider_akkio.api.location import Generation
from airflow_provider_akkio.api.messages import Conversation, Method, Request
from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.exceptions import (
    AkkioForbidden,
    AkkioMalformedAnswer,
    AkkioNotFound,
    AkkioRequestRefused,
    AkkioUnauthorized,
)

Read = TypeVar("Read")

_KEY = re.compile(r"\b(?:api[ _-]?)?key\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of Akkio's list of datasets or of models.

    :param id: what Akkio knows it by.
    :param name: what people know it by; several may have the same.
    """

    id: str
    name: str

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """Read an entry; raise :class:`AkkioMalformedAnswer` without an id."""
        match entry:
            case {"id": str(identifier)} if identifier:
                return cls(identifier, str(entry.get("name") or ""))
        raise AkkioMalformedAnswer("Akkio's list has an entry without an 'id'.")


class LegacyCalls:
    """What is asked alike of datasets and of models.

    :param asking: puts the questions.
    :param kind: one of them, in messages, such as ``dataset``; Akkio's path and list have its plural.
    """

    def __init__(self, asking: Asking, kind: str) -> None:
        self._asking = asking
        self._kind = kind
        self._plural = f"{kind}s"

    def list(self) -> Conversation[list[Listed]]:
        """Return all that the account has.

        :raises AkkioUnauthorized: if the key is wrong.
        :raises AkkioUnavailable: if no answer came for five minutes.
        """

        def entries(body: Mapping[str, Any]) -> list[Listed]:
            listed = body.get(self._plural)
            if not isinstance(listed, list):
                raise AkkioMalformedAnswer(f"Akkio's answer has no {self._plural!r}.")
            return [Listed.from_json(one) for one in listed]

        return self._read(self._get(), f"List of {self._plural}", entries)

    def delete(self, identifier: str) -> Conversation[bool]:
        """Delete one; to find it gone already is as good.

        :param identifier: its id.
        :return: whether it was there.
        :raises AkkioRequestRefused: if Akkio keeps it.
        :raises AkkioUnavailable: if no answer came for five minutes.
        """
        try:
            request = self._send(Method.DELETE, {"id": identifier})
            yield from self._read(request, f"Deleting {self._kind} {quoted(identifier)!r}", lambda _: None)
        except (AkkioUnauthorized, AkkioForbidden):
            raise
        except AkkioNotFound:
            return False
        except AkkioRequestRefused:
            # How Akkio words that it knows no such id is not documented; its list is.
            if any(one.id == identifier for one in (yield from self.list())):
                raise
            return False
        return True

    def _get(self, identifier: str | None = None) -> Request:
        url = self._asking.account.site.url(self._plural, generation=Generation.LEGACY)
        query = "" if identifier is None else f"?id={quote(identifier, safe='')}"
        return Request(Method.GET, url + query, generation=Generation.LEGACY)

    def _send(self, method: Method, body: Mapping[str, Any]) -> Request:
        url = self._asking.account.site.url(self._plural, generation=Generation.LEGACY)
        return Request(method, url, body, generation=Generation.LEGACY)

    def _ask(self, request: Request, purpose: str, reader: Callable[[Mapping[str, Any]], Read]) -> Conversation[Read]:
        def read(body: Mapping[str, Any]) -> Read:
            _refuse_unless_success(self._asking.account.connection, purpose, body)
            return reader(body)

        return self._asking.ask(request, purpose, read)

    def _read(self, request: Request, purpose: str, reader: Callable[[Mapping[str, Any]], Read]) -> Conversation[Read]:
        return self._asking.read(lambda: self._ask(request, purpose, reader))


def _refuse_unless_success(connection: str, purpose: str, body: Mapping[str, Any]) -> None:
    said = body.get("status")
    if not isinstance(said, str):
        raise AkkioMalformedAnswer("Akkio's answer has no 'status'.")
    if said == "success":
        return
    if _KEY.search(said):
        raise AkkioUnauthorized(
            f"{purpose}: Akkio does not take the API key in the password of connection {connection!r}: {quoted(said)}"
        )
    raise AkkioRequestRefused(f"{purpose}: Akkio refused the request: {quoted(said)}")
