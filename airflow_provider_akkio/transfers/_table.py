"""Write rows and their predictions to a table, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.api.cells import is_exact_as_float
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioError, AkkioParameterError

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from sqlalchemy import TableClause
    from sqlalchemy.engine import Connection, Engine

    from airflow_provider_akkio.transfers._temporary import TemporaryFile

_ROWS_PER_INSERT = 1000
_MAX_RUN_LENGTH = 1000
_COUNTING_BYTES = ("postgresql", "redshift")
"""Dialects of databases that limit the bytes of a name; others limit its characters."""

_RENAME_HINT = (
    "If the name is from the query, change it with AS. If it is from the predictions, write a file instead, with "
    "AkkioPredictOperator."
)


class IfExists(StrEnum):
    """What to do with the rows of an existing table."""

    FAIL = "fail"
    APPEND = "append"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class PredictedRows:
    """Rows with their predictions.

    :param file: the rows in JSON Lines; all have the same columns.
    :param columns: the names of all columns.
    :param number_columns: the columns that contain only nulls, and numbers that a float can be without losing digits.
    """

    file: TemporaryFile
    columns: tuple[str, ...]
    number_columns: frozenset[str]

    @classmethod
    def inspect(cls, file: TemporaryFile) -> PredictedRows:
        """Read the whole file to find the columns of numbers."""
        columns: dict[str, None] = {}
        numbers: set[str] = set()
        others: set[str] = set()
        for row in _read(file):
            columns |= dict.fromkeys(row)
            for column, value in row.items():
                if isinstance(value, int | float) and not isinstance(value, bool) and is_exact_as_float(value):
                    numbers.add(column)
                elif value is not None:
                    others.add(column)
        return cls(file, tuple(columns), frozenset(numbers - others))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as the table contains them: numbers as floats, all other values as text."""
        for row in _read(self.file):
            yield {column: self._to_cell(column, value) for column, value in row.items()}

    def _to_cell(self, column: str, value: Any) -> float | str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return str(value)
        return float(value) if column in self.number_columns else json.dumps(value, ensure_ascii=False)


def _read(file: TemporaryFile) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        yield from map(json.loads, lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionTable:
    """A table that receives predictions.

    Each row has the ID of the task run that wrote it. A task retry replaces the rows of its previous attempt, so that
    no row is in the table twice, even if the worker stopped between the commit and the success of the task.

    :param engine: SQLAlchemy's engine of the database.
    :param table: name of the table, with or without a schema.
    :param run_column: name of the column with the ID of the task run.
    :param run: the ID of the task run.
    :param if_exists: what to do with the rows of other task runs.
    """

    engine: Engine
    table: str
    run_column: str
    run: str
    if_exists: IfExists

    def check(self, columns: Sequence[str]) -> None:
        """Check whether rows with some columns can be written.

        :param columns: the columns that are known: before the first prediction those of the source, then all.
        :raises AkkioParameterError: if a column is missing in the table, has the name of ``run_column`` or of another
            column, or a name that is too long for the database, or the table has rows of other task runs and
            ``if_exists`` is ``fail``.
        """
        self._check_unique(columns)
        with self.engine.connect() as connection:
            self._check_name_lengths(columns)
            if self._exists(connection):
                self._check_existing(connection, columns)

    def write(self, rows: PredictedRows, is_stopped: Callable[[], bool]) -> None:
        """Write all rows in one transaction, and create the table if it does not exist.

        :param rows: the rows.
        :param is_stopped: returns whether Airflow stopped the task.
        :raises AkkioParameterError: as :meth:`check` does.
        :raises AkkioError: if Airflow stopped the task; the table remains as it was.
        """
        self._check_unique(rows.columns)
        table = self._clause(rows.columns)
        remaining = rows.rows()
        with self.engine.begin() as connection:
            if self._exists(connection):
                self._check_existing(connection, rows.columns)
                obsolete = table.delete()
                if self.if_exists is not IfExists.REPLACE:
                    obsolete = obsolete.where(table.c[self.run_column] == self.run)
                connection.execute(obsolete)
            else:
                self._create(connection, rows)
            while batch := list(islice(remaining, _ROWS_PER_INSERT)):
                if is_stopped():
                    raise AkkioError(
                        f"Airflow stopped the task before all rows were in table {self.table}; it has none."
                    )
                connection.execute(table.insert(), [{**row, self.run_column: self.run} for row in batch])

    def _check_unique(self, columns: Sequence[str]) -> None:
        names: dict[str, str] = {}
        for column in columns:
            if self._fold(column) == self._fold(self.run_column):
                raise AkkioParameterError(
                    f"The rows have a column '{printable(column)}'. Set run_column to another name: the operator "
                    "writes the ID of the task run into that column."
                )
            other = names.setdefault(self._fold(column), column)
            if other != column:
                raise AkkioParameterError(
                    f"Table {printable(self.table)}: the columns '{printable(other)}' and '{printable(column)}' differ "
                    f"only in upper and lower case, which are equal in {self.engine.dialect.name}. {_RENAME_HINT}"
                )

    def _fold(self, name: str) -> str:
        """Return a name as the database compares it."""
        # Upper and lower case are equal in most databases. In PostgreSQL they differ, because the names are quoted.
        return name if self.engine.dialect.name == "postgresql" else name.lower()

    def _check_name_lengths(self, columns: Sequence[str]) -> None:
        """Reject names that PostgreSQL would cut off without an error, so that two columns could become one."""
        dialect = self.engine.dialect
        limit, counts_bytes = dialect.max_identifier_length, dialect.name in _COUNTING_BYTES
        for name in (*filter(None, self._name), *columns, self.run_column):
            size = len(name.encode()) if counts_bytes else len(name)
            if size > limit:
                unit = "bytes" if counts_bytes else "characters"
                raise AkkioParameterError(
                    f"Table {printable(self.table)}: the name '{printable(name)}' has {size} {unit}, but the database "
                    f"allows {limit}. {_RENAME_HINT}"
                )

    def _clause(self, columns: Sequence[str]) -> TableClause:
        """Return the table with untyped columns, so that the database casts the values to the types of the table."""
        import sqlalchemy

        schema, name = self._name
        return sqlalchemy.table(name, *map(sqlalchemy.column, (*columns, self.run_column)), schema=schema)

    @property
    def _name(self) -> tuple[str | None, str]:
        schema, _, name = self.table.rpartition(".")
        return schema or None, name

    def _exists(self, connection: Connection) -> bool:
        import sqlalchemy

        schema, name = self._name
        return sqlalchemy.inspect(connection).has_table(name, schema=schema)

    def _check_existing(self, connection: Connection, columns: Sequence[str]) -> None:
        import sqlalchemy

        schema, name = self._name
        existing_columns = sqlalchemy.inspect(connection).get_columns(name, schema=schema)
        existing = {self._fold(column["name"]) for column in existing_columns}
        if self.if_exists is IfExists.FAIL and (
            self._fold(self.run_column) not in existing or self._has_rows_of_other_runs(connection)
        ):
            raise AkkioParameterError(
                f"Table {self.table} exists. Set if_exists='append' or 'replace', or another table."
            )
        if missing := [column for column in (*columns, self.run_column) if self._fold(column) not in existing]:
            raise AkkioParameterError(
                f"Table {self.table} has no column '{printable(missing[0])}'. Add the column, leave it out of the "
                "query, or drop the table: the operator creates a table that does not exist."
            )

    def _has_rows_of_other_runs(self, connection: Connection) -> bool:
        import sqlalchemy

        run = self._clause(()).c[self.run_column]
        others = sqlalchemy.select(run).where(sqlalchemy.or_(run.is_(None), run != self.run)).limit(1)
        return connection.execute(others).first() is not None

    def _create(self, connection: Connection, rows: PredictedRows) -> None:
        import sqlalchemy

        number: Any = sqlalchemy.Double() if hasattr(sqlalchemy, "Double") else sqlalchemy.Float(53)
        columns = [
            sqlalchemy.Column(column, number if column in rows.number_columns else sqlalchemy.UnicodeText())
            for column in rows.columns
        ]
        columns.append(sqlalchemy.Column(self.run_column, sqlalchemy.Unicode(_MAX_RUN_LENGTH)))
        schema, name = self._name
        sqlalchemy.Table(name, sqlalchemy.MetaData(), *columns, schema=schema).create(connection)


@contextmanager
def open_engine(hook: DbApiHook) -> Iterator[Engine]:
    """Create SQLAlchemy's engine of a connection, and close its database connections afterwards.

    Its errors do not contain the rows.

    :raises AkkioParameterError: if SQLAlchemy does not support the database.
    """
    try:
        engine = hook.get_sqlalchemy_engine()
    except Exception as error:  # hooks and SQLAlchemy raise many errors
        raise AkkioParameterError(
            f"Cannot write to connection {hook.get_conn_id()!r}, because SQLAlchemy does not support it: {error}"
        ) from error
    engine.hide_parameters = True
    try:
        yield engine
    finally:
        engine.dispose()
