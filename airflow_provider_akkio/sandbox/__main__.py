"""Command line of the sandbox: ``python -m airflow_provider_akkio.sandbox``."""

from __future__ import annotations

import argparse
import ipaddress
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_akkio.sandbox import DEFAULT_HOST, DEFAULT_KEY, Dialect

if TYPE_CHECKING:
    from airflow_provider_akkio.sandbox.server import Sandbox

KEY_VARIABLE = "AKKIO_SANDBOX_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit status.

    :param arguments: command line arguments; default those of the process.
    """
    options = _parse(arguments)
    # SIGTERM stops the sandbox in the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _serve(options)
    except KeyboardInterrupt:
        return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_akkio.sandbox",
        description="Serve a local Akkio that trains small datasets with scikit-learn.",
    )
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="0 selects a free port (default: %(default)s)")
    parser.add_argument(
        "--key",
        default=os.environ.get(KEY_VARIABLE) or DEFAULT_KEY,
        help=f"API key to accept (default: ${KEY_VARIABLE}, else {DEFAULT_KEY})",
    )
    parser.add_argument("--forbidden-key", help="API key that gets HTTP 403 (default: none)")
    parser.add_argument(
        "--dialect",
        choices=list(map(str, Dialect)),
        default=str(Dialect.PAGE),
        help="follow Akkio's Training page or its OpenAPI document where they disagree (default: %(default)s)",
    )
    parser.add_argument(
        "--pace",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="minimum time from a submission to its final status (default: %(default)g)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="offer the CSV files of this folder as datasets")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error("argument --port: must be from 0 to 65535")
    if not 0 <= options.pace < math.inf:
        parser.error("argument --pace: must be a number of seconds, 0 or more")
    for option, key in (("--key", options.key), ("--forbidden-key", options.forbidden_key)):
        if not _is_valid_key(key):
            parser.error(f"argument {option}: must be ASCII text without a space around it")
    return options


def _is_valid_key(key: str | None) -> bool:
    return key is None or (key.isascii() and key.isprintable() and key.strip() == key and key != "")


def _serve(options: argparse.Namespace) -> int:
    try:
        from airflow_provider_akkio.sandbox.datasets import InvalidFolderError
        from airflow_provider_akkio.sandbox.server import Sandbox
    except ModuleNotFoundError as error:
        return _print_error(f"{error.name} is missing: install airflow-provider-akkio[sandbox].")
    if not _is_loopback(options.host):
        _print_error(f"warning: other machines can reach {options.host}; the sandbox is made for local use.")
    try:
        sandbox = Sandbox(**vars(options))
    except InvalidFolderError as error:
        return _print_error(str(error))
    except OSError as error:
        return _print_error(f"cannot listen on {options.host}, port {options.port}: {error.strerror or error}.")
    with sandbox:
        sys.stdout.write(_banner(sandbox, options))
        sys.stdout.flush()
        threading.Event().wait()
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _print_error(message: str) -> int:
    sys.stderr.write(f"akkio sandbox: {message}\n")
    return 2


def _banner(sandbox: Sandbox, options: argparse.Namespace) -> str:
    datasets = sandbox.datasets.values()
    width = max(len(dataset.id) for dataset in datasets)
    lines = [
        f"Akkio sandbox at {sandbox.url}, dialect {options.dialect}; press Ctrl-C to stop.",
        f"X-API-Key: {options.key}",
        f"{'dataset_id':<{width}}  rows  name: field that is predicted by default",
        *(f"{one.id:<{width}}  {len(one.rows):>4}  {one.name}: {one.fields[-1]}" for one in datasets),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
