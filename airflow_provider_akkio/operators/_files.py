"""What operators that read or write files share: their paths, and the log of their progress."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.exceptions import AkkioError, AkkioParameterError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_akkio.files.reader import RowBatch

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
    if not isinstance(value, str | os.PathLike) or str(value).strip() in ("", "None"):
        raise AkkioParameterError(
            f"{name} must be a path, such as /data/leads.csv or s3://bucket/leads.csv, not {value!r}."
        )
    try:
        path = ObjectStoragePath(str(value).strip())
        path.fs  # noqa: B018 - loads the library of the file system
    except (ImportError, ValueError) as error:
        raise AkkioParameterError(f"{name} {str(value)!r} is not accessible: {error}") from error
    return path


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
