"""Run a query on a connection with a ``DbApiHook``, and write its rows to a temporary file as text."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.api.cells import cell_to_text
from airflow_provider_akkio.api.parameters import parse_id
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioError, AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE
from airflow_provider_akkio.files.options import ReadOptions
from airflow_provider_akkio.operators import _files
from airflow_provider_akkio.operators._files import parse_null_values, parse_on_empty
from airflow_provider_akkio.transfers._temporary import TemporaryFile, temporary_file

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_akkio.files.reader import FileSummary, RowFile

log = logging.getLogger(__name__)

_FIRST_ROWS = 10
_MAX_ROWS_PER_FETCH = 1000
_WITH_NAMED_CURSORS = ("psycopg", "psycopg2")
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class Stopper:
    """Passes on to a running query that Airflow stops the task."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._connection: Any = None

    def stop(self) -> None:
        """Stop the task at the next opportunity, and cancel its query if the database driver can."""
        self.is_stopped = True
        cancel = getattr(self._connection, "cancel", None) or getattr(self._connection, "interrupt", None)
        if callable(cancel):
            try:
                cancel()
            except Exception:  # drivers raise any error; the task stops nevertheless
                log.warning("Could not cancel the query.", exc_info=True)

    @contextmanager
    def canceling(self, connection: Any) -> Iterator[None]:
        """Cancel the queries of a connection when Airflow stops the task."""
        self._connection = connection
        try:
            yield
        finally:
            self._connection = None

    def check(self, what: str) -> None:
        """Raise :class:`AkkioError` if Airflow stopped the task.

        :param what: what the task was doing.
        """
        if self.is_stopped:
            raise AkkioError(f"{what}: Airflow stopped the task.")


def parse_sql(name: str, value: Any) -> str:
    """Parse the text of one query."""
    if not isinstance(value, str) or value.strip() in ("", "None"):
        raise AkkioParameterError(
            f"{name} must be a query, or the name of a .sql file with a query, not {printable(repr(value))}."
        )
    return value


def parse_query_parameters(name: str, value: Any) -> Mapping[str, Any] | Sequence[Any] | None:
    """Parse the parameters of a query: a mapping, a list, or ``None``, which a template may render as text."""
    if value is None or isinstance(value, Mapping | list | tuple):
        return value
    if isinstance(value, str) and value.strip() in ("", "None"):
        return None
    # The value may be a secret.
    raise AkkioParameterError(f"{name} must be None, a list or a mapping, not a value of type {type(value).__name__}.")


QUERY_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "sql": parse_sql,
    "sql_conn_id": parse_id,
    "parameters": parse_query_parameters,
    "null_values": parse_null_values,
    "on_empty": parse_on_empty,
}
"""Parsers of the parameters that all operators with a query have."""


def database_hook(name: str, connection_id: str) -> DbApiHook:
    """Return the hook of a connection to a database.

    :param name: name of the parameter with the connection.
    :param connection_id: ID of the connection.
    :raises AkkioParameterError: if the connection has no ``DbApiHook``, or the provider ``common-sql`` is missing.
    """
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError as error:
        raise AkkioParameterError(
            "Queries need the provider common-sql. Install airflow-provider-akkio[common-sql] on the worker."
        ) from error
    from airflow.providers.common.compat.sdk import BaseHook

    hook = BaseHook.get_connection(connection_id).get_hook()
    if not isinstance(hook, DbApiHook):
        raise AkkioParameterError(
            f"{name}: the hook of connection {connection_id!r}, {type(hook).__name__}, is not a DbApiHook. Use a "
            "connection to a database."
        )
    return hook


@contextmanager
def open_query(
    values: Mapping[str, Any], stopper: Stopper, number_fields: Sequence[str] = ()
) -> Iterator[tuple[RowFile, FileSummary]]:
    """Run the query of an operator, and validate its rows.

    :param values: parameter name to value, with the names of :data:`QUERY_PARSERS`; such as ``vars(operator)``.
    :param stopper: receives that Airflow stops the task.
    :param number_fields: fields whose cells must be numbers.
    :return: a file of the rows, in which each cell is text or null, until the context ends.
    :raises AkkioParameterError: if a parameter is invalid.
    :raises AkkioSourceFileError: if a row is invalid, or there is no row and ``on_empty`` is ``fail``.
    :raises AirflowSkipException: if there is no row and ``on_empty`` is ``skip``.
    """
    from airflow.providers.common.compat.sdk import AirflowSkipException

    from airflow_provider_akkio.files.reader import RowFile

    parsed = {name: parse(name, values[name]) for name, parse in QUERY_PARSERS.items()}
    hook = database_hook("sql_conn_id", parsed["sql_conn_id"])
    # The file has no types any more, so the texts that mean a missing value are replaced while it is written.
    options = ReadOptions(number_fields=frozenset(number_fields))
    with temporary_file(f"Query of connection {parsed['sql_conn_id']!r}") as file:
        row_count = _write_rows(file, hook, parsed, stopper)
        if not row_count:
            if parsed["on_empty"] == "skip":
                raise AirflowSkipException(f"{file} returned no rows.")
            raise AkkioSourceFileError(f"{file} returned no rows. To skip the task instead, set on_empty='skip'.")
        rows = RowFile(file, options)
        summary = rows.inspect()
        log.info("%s returned %s rows and %d columns.", file, f"{row_count:,}", len(summary.fields))
        yield rows, summary


def _write_rows(file: TemporaryFile, hook: DbApiHook, query: Mapping[str, Any], stopper: Stopper) -> int:
    """Write the rows of a query, with the names of :data:`QUERY_PARSERS`, to a file; return their number."""
    row_count, missing_texts = 0, frozenset(query["null_values"])
    logged_at = time.monotonic()
    with closing(hook.get_conn()) as connection, stopper.canceling(connection):
        for columns, rows in _fetch(connection, query["sql"], query["parameters"]):
            stopper.check(str(file))
            for row in rows:
                row_count += 1
                texts = _to_texts(file, columns, row, row_count, missing_texts)
                file.output.write(f"{_ENCODER.encode(texts)}\n".encode())
            if time.monotonic() - logged_at >= _files.PROGRESS_INTERVAL:
                logged_at = time.monotonic()
                log.info("%s: %s rows.", file, f"{row_count:,}")
    stopper.check(str(file))
    return row_count


def _fetch(connection: Any, sql: str, parameters: Any) -> Iterator[tuple[list[str], Sequence[Any]]]:
    """Yield the column names, and some rows at a time."""
    with closing(_open_cursor(connection)) as cursor:
        cursor.execute(*([sql] if parameters is None else [sql, parameters]))
        if cursor.description is None and not _has_named_cursors(connection):
            raise AkkioParameterError("sql must return rows, as SELECT does.")
        rows = cursor.fetchmany(_FIRST_ROWS)
        # psycopg2 sets the description of a named cursor by the first fetch.
        columns = _column_names(cursor.description)
        while rows:
            yield columns, rows
            rows = cursor.fetchmany(_rows_per_fetch(rows))


def _rows_per_fetch(rows: Sequence[Any]) -> int:
    """Return how many rows to fetch, so that about 4 MiB of text are in memory if they are as large as these."""
    cells = (cell for row in rows for cell in (row.values() if isinstance(row, Mapping) else row))
    size = sum(len(cell) for cell in cells if isinstance(cell, str))
    return max(1, min(_MAX_ROWS_PER_FETCH, MAX_ROW_SIZE * len(rows) // max(size, 1)))


def _open_cursor(connection: Any) -> Any:
    """Open a cursor whose rows remain on the server until they are fetched, if the driver has such cursors."""
    if not _has_named_cursors(connection):
        return connection.cursor()
    if _driver(connection) == "psycopg2":
        from psycopg2.extensions import cursor

        return connection.cursor(name="akkio", cursor_factory=cursor)
    from psycopg.rows import tuple_row

    return connection.cursor(name="akkio", row_factory=tuple_row)


def _has_named_cursors(connection: Any) -> bool:
    return _driver(connection) in _WITH_NAMED_CURSORS


def _driver(connection: Any) -> str:
    return type(connection).__module__.partition(".")[0]


def _column_names(description: Sequence[Sequence[Any]]) -> list[str]:
    names = [str(column[0]) for column in description]
    for position, name in enumerate(names, 1):
        if not name.strip():
            raise AkkioSourceFileError(f"Column {position} of the query has no name. Name it with AS.")
        if names.index(name) + 1 != position:
            raise AkkioSourceFileError(f"The query has two columns '{printable(name)}'. Rename one with AS.")
    return names


def _to_texts(
    file: TemporaryFile, columns: Sequence[str], row: Any, number: int, missing_texts: frozenset[str]
) -> dict[str, str | None]:
    cells = row.values() if isinstance(row, Mapping) else row
    texts: dict[str, str | None] = {}
    for column, value in zip(columns, cells, strict=True):
        try:
            is_missing = isinstance(value, str) and value in missing_texts
            texts[column] = None if is_missing else cell_to_text(value)
        except ValueError as error:
            raise AkkioSourceFileError(
                f"{file}: row {number:,}, column '{printable(column)}': {error}. Convert it in the query, such as with "
                "CAST(… AS text), or leave it out."
            ) from None
    return texts
