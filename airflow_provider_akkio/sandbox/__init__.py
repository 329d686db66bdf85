"""A local Akkio that really trains models, to try and to test DAGs against. Requires the extra ``sandbox``.

Run ``python -m airflow_provider_akkio.sandbox`` to serve it on loopback, or use :class:`Sandbox` in a test.
The sandbox has one account and stores everything in memory. It imports no other part of the provider.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_akkio.sandbox.server import Sandbox

__all__ = ["DEFAULT_HOST", "DEFAULT_KEY", "Dialect", "Sandbox"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_KEY = "sandbox-key"


class Dialect(StrEnum):
    """The description of the API that the sandbox follows where Akkio's two descriptions disagree.

    ``OPENAPI`` also answers a v1 call with an invalid key with HTTP 404, as Akkio documents it; ``PAGE`` with 401.
    """

    PAGE = "page"
    OPENAPI = "openapi"


def __getattr__(name: str) -> Any:
    """Import :class:`Sandbox` on first use: scikit-learn is slow to import and installed only with the extra."""
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_akkio.sandbox.server import Sandbox

    return Sandbox
