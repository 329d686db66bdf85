"""What every request carries."""

from __future__ import annotations

from airflow_provider_akkio import __version__
from airflow_provider_akkio.api.account import Account


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


class _Unshown(str):
    """A text that is sent as it is, and not shown where the headers are: in a session's, or in an error's."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"
