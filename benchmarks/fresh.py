"""Run a part of a benchmark in a new interpreter with a temporary Airflow home."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).resolve().parent.parent


def in_fresh_interpreter(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a function in a new process, without earlier imports, allocations and connections; return its result.

    :param function: module-level function of this package.
    :param arguments: its arguments, which must be JSON, as its result.
    """
    with tempfile.TemporaryDirectory(prefix="akkio-benchmark-") as home:
        command = [sys.executable, "-m", __name__, function.__module__, function.__name__, json.dumps(arguments)]
        done = subprocess.run(command, cwd=_PROJECT, env=_environment(home), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _environment(home: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON"))}
    return inherited | {
        "PYTHONPYCACHEPREFIX": _bytecode().name,
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(home) / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


@cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for compiled modules, which exist in every real installation."""
    return tempfile.TemporaryDirectory(prefix="akkio-bytecode-")


def _main(module: str, function: str, arguments: str) -> None:
    print(json.dumps(getattr(import_module(module), function)(**json.loads(arguments))), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
