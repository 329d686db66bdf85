"""Runs a part of a measure in an interpreter of its own, with an Airflow home that is gone afterwards."""

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
    """Call a function in a new process, and return what it returns; both ways as JSON.

    What was imported, allocated or connected before cannot count, and Airflow reads its settings anew.

    :param function: one of a module of this package.
    :param arguments: what to call it with.
    """
    with tempfile.TemporaryDirectory(prefix="akkio-benchmark-") as home:
        command = [sys.executable, "-m", __name__, function.__module__, function.__name__, json.dumps(arguments)]
        done = subprocess.run(command, cwd=_PROJECT, env=environment(home), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def environment(home: str) -> dict[str, str]:
    """Return the environment of a process with an Airflow of its own.

    :param home: the folder that Airflow may write to.
    """
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON"))}
    return foreign | {
        "PYTHONPYCACHEPREFIX": _bytecode().name,
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(home) / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


@cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for compiled modules, which every installation has; it is gone with this process."""
    return tempfile.TemporaryDirectory(prefix="akkio-bytecode-")


def _main(module: str, function: str, arguments: str) -> None:
    print(json.dumps(getattr(import_module(module), function)(**json.loads(arguments))), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
