"""Akkio's older api_version of calls, by which datasets and models are reached, and what their answers mean.

They answer ``{"status": "success", …}``, and otherwise a text in ``status``, whatever the HTTP status. Source: the
legacy part of Akkio's API documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote

from airflow_provider_akkio.api.config import ApiVersion
from airflow_provider_akkio.api.http import Flow, Method, Request
from airflow_provider_akkio.api.requester import Requester
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import (
    AkkioForbiddenError,
    AkkioNotFoundError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
)

Read = TypeVar("Read")

_KEY = re.compile(r"\b(?:api[ _-]?)?key\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedResource:
    """One entry of Akkio's list of datasets or of models.

    :param id: what Akkio knows it by.
    :param name: what people know it by; several may have the same.
    """

    id: str
    name: str

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """Read an entry; raise :class:`AkkioResponseError` without an id."""
        match entry:
            case {"id": str(identifier)} if identifier:
                return cls(identifier, str(entry.get("name") or ""))
        raise AkkioResponseError("Akkio's list has an entry without an 'id'.")


class V1Api:
    """What is asked alike of datasets and of models.

    :param requester: puts the questions.
    :param kind: one of them, in messages, such as ``dataset``; Akkio's path and list have its plural.
    """

    def __init__(self, requester: Requester, kind: str) -> None:
        self._requester = requester
        self._kind = kind
        self._plural = f"{kind}s"

    def list(self) -> Flow[list[NamedResource]]:
        """Return all that the account has.

        :raises AkkioUnauthorizedError: if the key is wrong.
        :raises AkkioUnavailableError: if no answer came for five minutes.
        """

        def entries(body: Mapping[str, Any]) -> list[NamedResource]:
            listed = body.get(self._plural)
            if not isinstance(listed, list):
                raise AkkioResponseError(f"Akkio's answer has no {self._plural!r}.")
            return [NamedResource.from_json(one) for one in listed]

        return self._read(self._get(), f"List of {self._plural}", entries)

    def delete(self, identifier: str) -> Flow[bool]:
        """Delete one; to find it gone already is as good.

        :param identifier: its id.
        :return: whether it was there.
        :raises AkkioRequestRejectedError: if Akkio keeps it.
        :raises AkkioUnavailableError: if no answer came for five minutes.
        """
        try:
            request = self._send(Method.DELETE, {"id": identifier})
            yield from self._read(request, f"Deleting {self._kind} {printable(identifier)!r}", lambda _: None)
        except (AkkioUnauthorizedError, AkkioForbiddenError):
            raise
        except AkkioNotFoundError:
            return False
        except AkkioRequestRejectedError:
            # How Akkio words that it knows no such id is not documented; its list is.
            if any(one.id == identifier for one in (yield from self.list())):
                raise
            return False
        return True

    def _get(self, identifier: str | None = None) -> Request:
        url = self._requester.config.base_url.url(self._plural, api_version=ApiVersion.V1)
        query = "" if identifier is None else f"?id={quote(identifier, safe='')}"
        return Request(Method.GET, url + query, api_version=ApiVersion.V1)

    def _send(self, method: Method, body: Mapping[str, Any]) -> Request:
        url = self._requester.config.base_url.url(self._plural, api_version=ApiVersion.V1)
        return Request(method, url, body, api_version=ApiVersion.V1)

    def _ask(self, request: Request, purpose: str, reader: Callable[[Mapping[str, Any]], Read]) -> Flow[Read]:
        def read(body: Mapping[str, Any]) -> Read:
            _refuse_unless_success(self._requester.config.connection_id, purpose, body)
            return reader(body)

        return self._requester.ask(request, purpose, read)

    def _read(self, request: Request, purpose: str, reader: Callable[[Mapping[str, Any]], Read]) -> Flow[Read]:
        return self._requester.read(lambda: self._ask(request, purpose, reader))


def _refuse_unless_success(connection: str, purpose: str, body: Mapping[str, Any]) -> None:
    said = body.get("status")
    if not isinstance(said, str):
        raise AkkioResponseError("Akkio's answer has no 'status'.")
    if said == "success":
        return
    if _KEY.search(said):
        raise AkkioUnauthorizedError(
            f"{purpose}: Akkio does not take the API key in the password of connection {connection!r}: {printable(said)}"
        )
    raise AkkioRequestRejectedError(f"{purpose}: Akkio refused the request: {printable(said)}")
