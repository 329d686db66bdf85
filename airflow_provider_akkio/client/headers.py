"""What every request carries, and where the key goes."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from airflow_provider_akkio import __version__
from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.location import Generation
from airflow_provider_akkio.api.messages import Method, Request


def request_headers(account: Account) -> dict[str, str]:
    """Return the headers of each request for an account.

    Answers come uncompressed: the longest is some hundred kilobytes, and a small body cannot then become a large one.
    """
    return {
        "X-API-Key": _Unshown(account.key),
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"airflow-provider-akkio/{__version__}",
    }


def with_key(request: Request, account: Account) -> Request:
    """Return a request as it leaves: a legacy call has the key in its query, or in its body if it has one.

    :param request: as a conversation yields it, without a key.
    :param account: whose key.
    """
    if request.generation is Generation.CURRENT:
        return request
    if request.method is Method.GET:
        mark = "&" if "?" in request.url else "?"
        return replace(request, url=f"{request.url}{mark}api_key={quote(account.key, safe='')}")
    return replace(request, json={"api_key": account.key, **(request.json or {})})


class _Unshown(str):
    """A text that is sent as it is, and not shown where the headers are: in a session's, or in an error's."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"
