"""Files that Airflow's object storage opens, and how one is written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_akkio.exceptions import AkkioParameterError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath


def path_of(name: str, value: Any) -> ObjectStoragePath:
    """Return a place that a DAG author gave.

    :param name: the parameter's name.
    :param value: a path, or the text of one.
    :raises AkkioParameterError: if it is none, or of a kind for which no library is installed.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(value, ObjectStoragePath):
        return value
    if not isinstance(value, str | os.PathLike) or not str(value).strip() or str(value).strip() == "None":
        raise AkkioParameterError(
            f"{name} must be a path, such as /data/leads.csv or s3://bucket/leads.csv: {value!r}."
        )
    try:
        path = ObjectStoragePath(str(value).strip())
        path.fs  # noqa: B018 - finds the file system's library
    except (ImportError, ValueError) as error:
        raise AkkioParameterError(f"{name} {str(value)!r} cannot be reached: {error}") from error
    return path


@contextmanager
def written_whole(path: ObjectStoragePath, context: Context) -> Iterator[BinaryIO]:
    """Write a file aside, and move it to its place once all of it is there.

    What an earlier try of the task left aside is deleted.

    :param path: its place; a file that is there is replaced.
    :param context: the task's context, which names what lies aside.
    """
    if path.protocol in ("", "file", "local"):
        path.parent.mkdir(parents=True, exist_ok=True)
    tries = range(1, context["ti"].try_number + 1)
    *left, aside = [path.parent / _name_aside(path.name, context, number) for number in tries]
    for one in left:
        with suppress(OSError):
            one.unlink()
    try:
        with aside.open("wb") as file:
            yield file
        aside.move(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def _name_aside(name: str, context: Context, try_number: int) -> str:
    ti = context["ti"]
    task = repr((ti.dag_id, ti.run_id, ti.task_id, ti.map_index, try_number))
    return f".{name}.{hashlib.sha256(task.encode()).hexdigest()[:16]}.part"
