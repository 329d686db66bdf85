"""``python -m airflow_provider_akkio.sandbox``: a local Akkio to try DAGs against."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_akkio.sandbox import DEFAULT_HOST, DEFAULT_KEY
from airflow_provider_akkio.sandbox.dialects import Dialect

if TYPE_CHECKING:
    from airflow_provider_akkio.sandbox.serving import Sandbox

KEY_VARIABLE = "AKKIO_SANDBOX_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit status.

    :param arguments: what follows the program's name; default those of the command line.
    """
    options = _read(arguments)
    # The shell's `kill` is to end it as Ctrl-C does, from the first moment on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _serve(options)
    except KeyboardInterrupt:
        return 0


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_akkio.sandbox",
        description="Serve a local Akkio that really trains, with scikit-learn, on small datasets.",
    )
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8765, help="0 picks a free one (default: %(default)s)")
    parser.add_argument(
        "--key",
        type=_key,
        default=os.environ.get(KEY_VARIABLE) or DEFAULT_KEY,
        help=f"the API key to take (default: ${KEY_VARIABLE}, else {DEFAULT_KEY})",
    )
    parser.add_argument("--forbidden-key", type=_key, help="a key to answer with 403 (default: none)")
    parser.add_argument(
        "--dialect",
        choices=list(map(str, Dialect)),
        default=str(Dialect.PAGE),
        help="keep to Akkio's Training page or to its OpenAPI document, where they disagree (default: %(default)s)",
    )
    parser.add_argument(
        "--pace",
        type=_seconds,
        default=3.0,
        metavar="SECONDS",
        help="hold each answer back until at least so long after its submission (default: %(default)g)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="offer the CSV files of this folder as datasets too")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number from 0 to 65535")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _key(text: str) -> str:
    if not (text.isascii() and text.isprintable() and text.strip() == text and text):
        raise argparse.ArgumentTypeError("a key is ASCII text without a space around it")
    return text


def _serve(options: argparse.Namespace) -> int:
    try:
        from airflow_provider_akkio.sandbox.datasets import UnusableDataError
        from airflow_provider_akkio.sandbox.serving import Sandbox, is_loopback
    except ModuleNotFoundError as error:
        return _complain(f"{error.name} is missing: install airflow-provider-akkio[sandbox].")
    if not is_loopback(options.host):
        _complain(f"warning: others can reach {options.host}; the sandbox is made for this machine alone.")
    try:
        sandbox = Sandbox(**vars(options))
    except UnusableDataError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"cannot listen on {options.host}, port {options.port}: {error.strerror or error}.")
    with sandbox:
        sys.stdout.write(_describe(sandbox, options))
        sys.stdout.flush()
        threading.Event().wait()
    return 0


def _complain(message: str) -> int:
    sys.stderr.write(f"akkio sandbox: {message}\n")
    return 2


def _describe(sandbox: Sandbox, options: argparse.Namespace) -> str:
    """Return what a person needs to ask it: address, key and datasets."""
    offered = sandbox.datasets.values()
    width = max(len(dataset.id) for dataset in offered)
    return "\n".join(
        (
            f"Akkio sandbox at {sandbox.url}, dialect {options.dialect}; Ctrl-C ends it.",
            f"X-API-Key: {options.key}",
            f"{'dataset_id':<{width}}  rows  name, and the field that is predicted if none is named",
            *(
                f"{dataset.id:<{width}}  {len(dataset.rows):>4}  {dataset.name}: {dataset.fields[-1]}"
                for dataset in offered
            ),
            "",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
