"""What importing an operator adds to a DAG file."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import Any

_HEAVY = ("aiohttp", "requests", "sqlalchemy", "airflow.triggers")


def first_import(module: str) -> dict[str, Any]:
    """Return the milliseconds that the first import of a module takes, and which heavy ones come with it.

    A DAG file has ``airflow.sdk`` already; what that loads does not count.

    :param module: the operator's module.
    """
    import_module("airflow.sdk").DAG  # noqa: B018 # it is loaded at its first use
    before, started = set(sys.modules), time.perf_counter()
    import_module(module)
    milliseconds = (time.perf_counter() - started) * 1000
    added = set(sys.modules) - before
    return {"milliseconds": milliseconds, "heavy": [one for one in _HEAVY if one in added]}
