"""What every request carries."""

from __future__ import annotations

from airflow_provider_akkio import __version__
from airflow_provider_akkio.api.account import Account


def request_headers(account: Account) -> dict[str, str]:
    """Return the headers of each request for an account.

    Answers come uncompressed: the longest is some hundred kilobytes, and a small body cannot then become a large one.
    """
    return {
        "X-API-Key": account.key,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"airflow-provider-akkio/{__version__}",
    }
