"""What importing an operator adds to a DAG file."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import Any

_HEAVY = ("aiohttp", "requests", "sqlalchemy", "airflow.triggers")


def first_import(module: str) -> dict[str, Any]:
    """Return the milliseconds of the first import of a module, and the heavy modules that it loads.

    What ``airflow.sdk`` loads does not count, because every DAG file imports it.

    :param module: module of the operator.
    """
    import_module("airflow.sdk").DAG  # noqa: B018 # loaded lazily
    before, started = set(sys.modules), time.perf_counter()
    import_module(module)
    milliseconds = (time.perf_counter() - started) * 1000
    added = set(sys.modules) - before
    return {"milliseconds": milliseconds, "heavy": [name for name in _HEAVY if name in added]}
