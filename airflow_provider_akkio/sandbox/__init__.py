"""A local Akkio that really trains, to try and to test DAGs against; needs the extra ``sandbox``.

``python -m airflow_provider_akkio.sandbox`` serves it on loopback; :class:`Sandbox` serves it inside a test. It has one
account, keeps everything in memory, and forgets it on stop. A training takes a second or two on the tables that
come with it; ``duration`` is only its upper limit. Nothing else in the provider imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_akkio.sandbox.app import create_app
    from airflow_provider_akkio.sandbox.serving import Sandbox

__all__ = ["DEFAULT_HOST", "DEFAULT_KEY", "Sandbox", "create_app"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_KEY = "sandbox-key"

_MODULES = {"Sandbox": "serving", "create_app": "app"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: scikit-learn is slow to load, and only there with the extra."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
