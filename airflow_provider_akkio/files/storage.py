"""Parse path parameters of operators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.exceptions import AkkioParameterError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


def path_of(name: str, value: Any) -> ObjectStoragePath:
    """Return the location that a path parameter of an operator names.

    :param name: the name of the parameter.
    :param value: a path, or its text.
    :raises AkkioParameterError: if it is not a path, or no library for its protocol is installed.
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
        path.fs  # noqa: B018 - imports the library of the protocol
    except (ImportError, ValueError) as error:
        raise AkkioParameterError(f"{name} {str(value)!r} cannot be reached: {error}") from error
    return path
