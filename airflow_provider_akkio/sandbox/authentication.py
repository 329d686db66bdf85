"""API keys of the sandbox."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException, Request

from airflow_provider_akkio.sandbox.payloads import read_parameters


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """API keys of the sandbox.

    :param key: accepted key; a key with a space around it is a different key.
    :param forbidden_key: key that gets HTTP 403; default none.
    :param v1_status: HTTP status for an unknown key in a v1 call; default 401.
    """

    key: str = field(repr=False)
    forbidden_key: str | None = field(default=None, repr=False)
    v1_status: HTTPStatus = HTTPStatus.UNAUTHORIZED

    def check_v2(self, x_api_key: Annotated[str, Header()] = "") -> None:
        """Check the key in the header of a v2 request."""
        self._check(x_api_key, HTTPStatus.UNAUTHORIZED)

    def check_v1(self, request: Request, parameters: Annotated[Any, Depends(read_parameters)]) -> None:
        """Check the key in the query or in the body of a v1 request."""
        given = parameters if isinstance(parameters, Mapping) else request.query_params
        self._check(given.get("api_key"), self.v1_status)

    def _check(self, given: object, status: HTTPStatus) -> None:
        if self.forbidden_key is not None and _is_same(given, self.forbidden_key):
            raise HTTPException(HTTPStatus.FORBIDDEN, "The organization of this API key may not use this resource.")
        if not _is_same(given, self.key):
            raise HTTPException(status, "missing or invalid API key")


def _is_same(given: object, key: str) -> bool:
    return isinstance(given, str) and secrets.compare_digest(given.encode(errors="replace"), key.encode())
