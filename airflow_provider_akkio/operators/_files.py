"""What operators that read or write files share: their paths, how they read, and the log of their progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.api.parameters import (
    is_literal,
    naming_task,
    parse_optional_text,
    parse_optional_texts,
    validate_literals,
)
from airflow_provider_akkio.exceptions import AkkioError, AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files.formats import file_format, output_format
from airflow_provider_akkio.files.options import ReadOptions

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_akkio.files.reader import FileSummary, RowBatch, RowFile

log = logging.getLogger(__name__)

PROGRESS_INTERVAL = 30.0
"""Seconds between two log lines about the progress."""


def parse_path(name: str, value: Any) -> ObjectStoragePath:
    """Return the path of a path parameter.

    :param name: name of the parameter.
    :param value: a path, or its text.
    :raises AkkioParameterError: if it is not a path, or no library for its scheme is installed.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(value, ObjectStoragePath):
        return value
    text = _path_text(name, value)
    try:
        path = ObjectStoragePath(text)
        path.fs  # noqa: B018 - loads the library of the file system
    except (ImportError, ValueError) as error:
        raise AkkioParameterError(f"{name} {text!r} is not accessible: {error}") from error
    return path


def check_source_name(name: str, value: Any) -> None:
    """Raise :class:`AkkioParameterError` if a path has no extension of a file that can be read."""
    file_format(_path_text(name, value))


def check_output_name(name: str, value: Any) -> None:
    """Raise :class:`AkkioParameterError` if a path has no extension of a file that can be written."""
    output_format(_path_text(name, value))


def _path_text(name: str, value: Any) -> str:
    is_path = isinstance(value, str) or hasattr(value, "joinpath")  # ObjectStoragePath is not an os.PathLike
    if not is_path or str(value).strip() in ("", "None"):
        raise AkkioParameterError(
            f"{name} must be a path, such as /data/leads.csv or s3://bucket/leads.csv, not {value!r}."
        )
    return str(value).strip()


def _parse_columns(name: str, value: Any) -> tuple[str, ...] | None:
    columns = parse_optional_texts(name, value)
    if columns is not None and not columns:
        raise AkkioParameterError(f"{name} must be None or at least one field name, not {value!r}.")
    return columns


def _parse_delimiter(name: str, value: Any) -> str | None:
    if value in (None, "", "None"):
        return None
    if not isinstance(value, str):
        raise AkkioParameterError(f"{name} must be one character, not {value!r}.")
    return "\t" if value == "\\t" else value


def parse_null_values(name: str, value: Any) -> tuple[str, ...]:
    """Parse the texts that mean a missing value."""
    return parse_optional_texts(name, value) or ()


def parse_on_empty(name: str, value: Any) -> str:
    """Parse what a task without rows does: ``fail`` or ``skip``."""
    if value not in ("fail", "skip"):
        raise AkkioParameterError(f"{name} must be 'fail' or 'skip', not {value!r}.")
    return str(value)


_OPTION_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "columns": _parse_columns,
    "exclude_columns": lambda name, value: parse_optional_texts(name, value) or (),
    "null_values": parse_null_values,
    "delimiter": _parse_delimiter,
    "encoding": lambda name, value: parse_optional_text(name, value) or "utf-8",
    "sheet_name": parse_optional_text,
}


def _check_option(name: str, value: Any) -> None:
    ReadOptions(**{name: _OPTION_PARSERS[name](name, value)})


_SOURCE_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "source_path": check_source_name,
    **dict.fromkeys(_OPTION_PARSERS, _check_option),
    "on_empty": parse_on_empty,
}
"""Parsers of the parameters that all operators with a source file have."""


def validate_source(task_id: str, values: Mapping[str, Any]) -> None:
    """Validate the parameters of an operator with a source file, as far as they are known when the DAG file is parsed.

    :param task_id: ID of the Airflow task.
    :param values: parameter name to value, with the names of :data:`_SOURCE_PARSERS`; such as ``vars(operator)``.
    :raises AkkioParameterError: if a value is invalid, or the values exclude each other.
    """
    validate_literals(task_id, values, _SOURCE_PARSERS)
    if not all(is_literal(values[name]) for name in _OPTION_PARSERS):
        return
    with naming_task(task_id):
        options = parse_read_options(values)
        if is_literal(values["source_path"]):
            path = _path_text("source_path", values["source_path"])
            options.check_format(path, file_format(path))


def parse_read_options(values: Mapping[str, Any], number_fields: Iterable[str] = ()) -> ReadOptions:
    """Return how an operator reads its source file.

    :param values: parameter name to value, such as ``vars(operator)``.
    :param number_fields: fields whose text must be a number.
    :raises AkkioParameterError: if a value is invalid.
    """
    parsed = {name: parse(name, values[name]) for name, parse in _OPTION_PARSERS.items()}
    return ReadOptions(**parsed, number_fields=frozenset(number_fields))


def open_source(values: Mapping[str, Any], number_fields: Iterable[str] = ()) -> tuple[RowFile, FileSummary]:
    """Validate the source file of an operator.

    :param values: parameter name to value, with the names of :data:`_SOURCE_PARSERS`; such as ``vars(operator)``.
    :param number_fields: fields whose text must be a number.
    :raises AkkioParameterError: if a value is invalid.
    :raises AkkioSourceFileError: if the file is invalid, or has no rows and ``on_empty`` is ``fail``.
    :raises AirflowSkipException: if the file has no rows and ``on_empty`` is ``skip``.
    """
    from airflow.providers.common.compat.sdk import AirflowSkipException

    from airflow_provider_akkio.files.reader import RowFile

    on_empty = parse_on_empty("on_empty", values["on_empty"])
    file = RowFile(parse_path("source_path", values["source_path"]), parse_read_options(values, number_fields))
    summary = file.inspect()
    if not summary.row_count:
        if on_empty == "skip":
            raise AirflowSkipException(f"{file.name} has no rows.")
        raise AkkioSourceFileError(f"{file.name}: the file has no rows. To skip the task instead, set on_empty='skip'.")
    log.info("%s has %s rows and %d fields.", file.name, f"{summary.row_count:,}", len(summary.fields))
    return file, summary


def track_progress(
    batches: Iterable[RowBatch], what: str, total: int, is_stopped: Callable[[], bool], done: int = 0
) -> Iterator[RowBatch]:
    """Yield batches, and log the progress every 30 seconds.

    :param batches: batches of rows; a batch counts as done when the next one is requested.
    :param what: start of the log line, such as ``"Upload to dataset D1"``.
    :param total: row count of the file.
    :param is_stopped: returns whether Airflow stopped the task.
    :param done: number of rows that a previous attempt finished; default 0.
    :raises AkkioError: between two batches, if Airflow stopped the task.
    """
    logged_at = time.monotonic()
    for batch in batches:
        if is_stopped():
            raise AkkioError(f"{what}: Airflow stopped the task after {done:,} of {total:,} rows.")
        yield batch
        done += len(batch.rows)
        if time.monotonic() - logged_at >= PROGRESS_INTERVAL:
            logged_at = time.monotonic()
            log.info("%s: %s of %s rows.", what, f"{done:,}", f"{total:,}")
