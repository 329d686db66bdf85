"""What datasets and models have in common: Akkio's v1 API.

A v1 response is ``{"status": "success", …}``; any other ``status`` is an error message, whatever the HTTP status.
Source: v1 in Akkio's API documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

from airflow_provider_akkio.api.config import ApiVersion
from airflow_provider_akkio.api.errors import reason_from, rejection_for
from airflow_provider_akkio.api.http import Flow, Method, Request
from airflow_provider_akkio.api.requester import Requester, Value
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import (
    AkkioForbiddenError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
)

ROWS_TIMEOUT = 120.0
"""Seconds that a request with rows, or the inference of field types, may take at least; Akkio's own scripts wait as
long."""


@dataclass(frozen=True, slots=True)
class NamedResource:
    """An entry in the list of datasets or models. The name is not unique."""

    id: str
    name: str

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """Parse an entry; raise :class:`AkkioResponseError` if the ID is missing or invalid."""
        match entry:
            case {"id": str(resource_id)} if resource_id:
                return cls(resource_id, str(entry.get("name") or ""))
        raise AkkioResponseError("Akkio's list has an entry without an 'id'.")


class V1Api:
    """The operations that datasets and models share.

    :param kind: ``dataset`` or ``model``.
    """

    def __init__(self, requester: Requester, kind: str) -> None:
        self._requester = requester
        self._kind = kind
        self._url = requester.config.base_url.url(f"{kind}s", api_version=ApiVersion.V1)

    def _parse_list(self, body: Mapping[str, Any]) -> list[NamedResource]:
        key = f"{self._kind}s"
        entries = body.get(key)
        if not isinstance(entries, list):
            raise AkkioResponseError(f"Akkio's response has no {key!r}.")
        return [NamedResource.from_json(entry) for entry in entries]

    def list_once(self, purpose: str) -> Flow[list[NamedResource]]:
        """Return the same as :meth:`list`, without retries.

        :param purpose: what the list is for, as the beginning of messages.
        """
        return self._send(self._get_request(), purpose, self._parse_list)

    def list(self) -> Flow[list[NamedResource]]:
        """Return all entries of the account."""
        return self._send_and_retry(self._get_request(), f"List of {self._kind}s", self._parse_list)

    def delete(self, resource_id: str) -> Flow[bool]:
        """Delete a dataset or model.

        :return: whether it existed.
        :raises AkkioRequestRejectedError: if Akkio does not delete it.
        """
        request = self._change_request(Method.DELETE, {"id": resource_id})
        try:
            yield from self._send_and_retry(
                request, f"Deleting {self._kind} {printable(resource_id)!r}", lambda _: None
            )
        except (AkkioUnauthorizedError, AkkioForbiddenError):
            raise
        except AkkioRequestRejectedError:
            # Akkio does not document its response to an unknown ID, and any server may send HTTP 404. The list decides.
            if any(entry.id == resource_id for entry in (yield from self.list())):
                raise
            return False
        return True

    def _get_request(self, resource_id: str | None = None) -> Request:
        query = "" if resource_id is None else f"?id={quote(resource_id, safe='')}"
        return Request(Method.GET, self._url + query, api_version=ApiVersion.V1)

    def _change_request(self, method: Method, body: Mapping[str, Any], min_timeout: float = 0.0) -> Request:
        return Request(method, self._url, body, api_version=ApiVersion.V1, min_timeout=min_timeout)

    def _send(self, request: Request, purpose: str, parse: Callable[[Mapping[str, Any]], Value]) -> Flow[Value]:
        def parse_success(body: Mapping[str, Any]) -> Value:
            _raise_unless_success(self._requester.config.connection_id, purpose, body)
            return parse(body)

        return self._requester.send(request, purpose, parse_success)

    def _send_and_retry(
        self, request: Request, purpose: str, parse: Callable[[Mapping[str, Any]], Value]
    ) -> Flow[Value]:
        return self._requester.read(lambda: self._send(request, purpose, parse))


def _raise_unless_success(connection_id: str, purpose: str, body: Mapping[str, Any]) -> None:
    status = body.get("status")
    if not isinstance(status, str):
        raise AkkioResponseError("Akkio's response has no 'status'.")
    if status != "success":
        raise rejection_for(connection_id, purpose, reason_from(body, json.dumps(body)), HTTPStatus.OK)
