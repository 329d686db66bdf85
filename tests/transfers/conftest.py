"""Databases on which the transfers run: an embedded PostgreSQL with both of its drivers, and SQLite."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from airflow.providers.postgres.hooks import postgres as postgres_provider

from dev.database import Database, embedded_database
from tests.airflow_runs import FinishedRun, RunTask

ROWS = 25
QUERY = "SELECT id, zip, word FROM leads ORDER BY id"


@dataclass(frozen=True)
class Warehouse:
    """A database with an Airflow connection.

    :param kind: the database driver.
    :param connection_id: ID of the connection.
    :param url: SQLAlchemy's URL.
    """

    kind: str
    connection_id: str
    url: str

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self.kind != "sqlite"

    def execute(self, *statements: str) -> None:
        """Execute statements and commit them."""
        engine = sqlalchemy.create_engine(self.url)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        engine = sqlalchemy.create_engine(self.url)
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.exec_driver_sql(query)]
        engine.dispose()
        return rows

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        engine = sqlalchemy.create_engine(self.url)
        names = sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()
        return names


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An embedded PostgreSQL."""
    with embedded_database(tmp_path_factory.mktemp("postgresql")) as database:
        yield database


OpenWarehouse = Callable[[str, str], Warehouse]

DRIVERS = ("psycopg", "psycopg2") if getattr(postgres_provider, "USE_PSYCOPG3", False) else ("psycopg2",)
"""The drivers of PostgreSQL that the provider can use with this Airflow, its default first."""


@pytest.fixture
def open_warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenWarehouse:
    """Create an empty database with a connection: its driver and the ID of the connection."""

    def open_(kind: str, connection_id: str) -> Warehouse:
        if kind == "sqlite":
            path = tmp_path / f"{connection_id}.db"
            fields: Mapping[str, Any] = {"conn_type": "sqlite", "host": str(path)}
            warehouse = Warehouse(kind, connection_id, f"sqlite:///{path}")
        else:
            name = f"test_{secrets.token_hex(4)}"
            server: Database = request.getfixturevalue("postgresql")
            server.server.psql(f"CREATE DATABASE {name}")
            url = server.url("psycopg2").replace("/airflow?", f"/{name}?")
            fields = {"conn_type": "postgres", "host": server.socket_folder, "login": "postgres", "schema": name}
            monkeypatch.setattr(postgres_provider, "USE_PSYCOPG3", kind == "psycopg", raising=False)
            warehouse = Warehouse(kind, connection_id, url)
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id.upper()}", json.dumps(fields))
        return warehouse

    return open_


@pytest.fixture(params=[*DRIVERS, "sqlite"])
def warehouse(request: pytest.FixtureRequest, open_warehouse: OpenWarehouse) -> Warehouse:
    """A database with the table ``leads``, for each driver; connection ``warehouse``."""
    return with_leads(open_warehouse(request.param, "warehouse"))


@pytest.fixture
def sqlite(open_warehouse: OpenWarehouse) -> Warehouse:
    """A SQLite database with the table ``leads``; connection ``warehouse``."""
    return with_leads(open_warehouse("sqlite", "warehouse"))


@pytest.fixture
def postgres(open_warehouse: OpenWarehouse) -> Warehouse:
    """A PostgreSQL database with the table ``leads``; connection ``warehouse``."""
    return with_leads(open_warehouse(DRIVERS[0], "warehouse"))


def with_leads(warehouse: Warehouse) -> Warehouse:
    warehouse.execute(
        "CREATE TABLE leads (id INTEGER PRIMARY KEY, zip TEXT, word TEXT)",
        *(f"INSERT INTO leads VALUES ({number}, '0{number}', 'w')" for number in range(ROWS)),
    )
    return warehouse


Upload = Callable[..., FinishedRun]


@pytest.fixture
def upload(run_task: RunTask, gate: object) -> Upload:
    """Upload a query in batches of five rows; any parameter can be replaced."""
    defaults = {"task_id": "upload", "sql": QUERY, "sql_conn_id": "warehouse", "batch_size": 5}
    return lambda **parameters: run_task("SqlToAkkioDatasetOperator", **(defaults | parameters))
