"""Operators that upload and delete datasets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_akkio.api.parameters import parse_id, validate_literals
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID, AkkioHook
from airflow_provider_akkio.operators._durable import with_callback
from airflow_provider_akkio.operators._files import open_source, validate_source
from airflow_provider_akkio.operators._upload import (
    UploadPlan,
    delete_stored_upload,
    delete_unresumable_upload,
    upload_file,
    validate_upload,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AkkioUploadDatasetOperator(BaseOperator):
    """Upload the rows of a file to a new dataset, or append them to a dataset, each row exactly once.

    The file is CSV (``.csv``, ``.tsv``), JSON Lines (``.jsonl``, ``.ndjson``), JSON (``.json``), Parquet (``.parquet``;
    extra ``parquet``) or Excel (``.xlsx``; extra ``excel``). The operator reads it twice: it validates the whole file
    before the first request, then sends it. It sends every cell as text, and a missing value as null. Memory does not
    grow with the file, except for Excel.

    If the outcome of a request is unknown, the operator compares the row count of the dataset before it sends the rows
    again. A task retry resumes after the last row that arrived; this needs Airflow's task state store (Airflow 3.3).
    Before Airflow 3.3, set ``retries=0``, so that a killed task does not append rows twice. If the upload to a new
    dataset fails, the operator deletes the dataset.

    XComs: ``dataset_id``, ``row_count`` (number of uploaded rows). The return value is the dataset ID.

    :param source_path: path or URL of the file, as for ``ObjectStoragePath``, such as ``/data/leads.csv`` or
        ``s3://connection@bucket/leads.parquet``.
    :param dataset_name: name of the dataset to create; Akkio allows several datasets with the same name.
    :param dataset_id: ID of the dataset to append to. Set either ``dataset_name`` or ``dataset_id``.
    :param field_types: field name to Akkio field type: ``category``, ``id``, ``integer``, ``float`` (or ``number``),
        ``string``, ``date`` or ``unknown``; default the types that Akkio infers. If a field is typed ``integer`` or
        ``float``, its cells must be numbers.
    :param parse_fields: whether Akkio infers the types of all fields after the last row; default yes for a new dataset,
        no for an existing one.
    :param batch_size: maximum number of rows per request; default 1,000. Requests with large rows have fewer.
    :param columns: name or names of the columns to send; default all.
    :param exclude_columns: name or names of the columns not to send; default none.
    :param null_values: texts that are sent as null, such as ``["NA", "nan"]``. An empty text always is.
    :param delimiter: character between the cells of a CSV file; default a comma, or a tab for ``.tsv``.
    :param encoding: encoding of a text file; default UTF-8.
    :param sheet_name: sheet of an Excel file; default the first.
    :param on_empty: ``fail`` (default) or ``skip`` the task if the file has no rows.
    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is invalid.
    :raises AkkioSourceFileError: if the file is invalid, before anything is sent; or if it changes during the upload.
    :raises AkkioUploadIncompleteError: if some rows arrived, and a retry could add rows twice.
    """

    template_fields: Sequence[str] = (
        "source_path",
        "dataset_name",
        "dataset_id",
        "field_types",
        "parse_fields",
        "batch_size",
        "columns",
        "exclude_columns",
        "null_values",
        "delimiter",
        "encoding",
        "sheet_name",
        "on_empty",
        "akkio_conn_id",
    )
    _is_stopped = False  # Airflow calls on_kill() while execute() runs, so an attribute is the only way to pass this on

    def __init__(
        self,
        *,
        source_path: str | os.PathLike[str],
        dataset_name: str | None = None,
        dataset_id: str | None = None,
        field_types: Mapping[str, str] | None = None,
        parse_fields: bool | str | None = None,
        batch_size: int | str = 1000,
        columns: str | Sequence[str] | None = None,
        exclude_columns: str | Sequence[str] | None = None,
        null_values: str | Sequence[str] | None = ("",),
        delimiter: str | None = None,
        encoding: str = "utf-8",
        sheet_name: str | None = None,
        on_empty: str = "fail",
        akkio_conn_id: str = DEFAULT_CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = with_callback(self.on_success_callback, delete_stored_upload)
        self.on_failure_callback = with_callback(self.on_failure_callback, delete_unresumable_upload)
        self.source_path = source_path
        self.dataset_name = dataset_name
        self.dataset_id = dataset_id
        self.field_types = field_types
        self.parse_fields = parse_fields
        self.batch_size = batch_size
        self.columns = columns
        self.exclude_columns = exclude_columns
        self.null_values = null_values
        self.delimiter = delimiter
        self.encoding = encoding
        self.sheet_name = sheet_name
        self.on_empty = on_empty
        self.akkio_conn_id = akkio_conn_id
        validate_source(self.task_id, vars(self))
        validate_upload(self.task_id, vars(self))

    def execute(self, context: Context) -> str:
        """Validate the file, and upload its rows."""
        plan = UploadPlan.parse(vars(self))
        file, summary = open_source(vars(self), plan.number_fields)
        return upload_file(self, context, plan=plan, file=file, summary=summary, is_stopped=lambda: self._is_stopped)

    def on_kill(self) -> None:
        """Stop the upload between two requests, so that the operator can delete an incomplete new dataset."""
        self._is_stopped = True


class AkkioDeleteDatasetOperator(BaseOperator):
    """Delete a dataset; succeed if it does not exist.

    :param dataset_id: ID of the dataset.
    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is invalid.
    """

    template_fields: Sequence[str] = ("dataset_id", "akkio_conn_id")

    def __init__(self, *, dataset_id: str, akkio_conn_id: str = DEFAULT_CONNECTION_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id
        self.akkio_conn_id = akkio_conn_id
        validate_literals(self.task_id, vars(self), {"dataset_id": parse_id, "akkio_conn_id": parse_id})

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow passes it as a keyword
        """Delete the dataset."""
        dataset_id = parse_id("dataset_id", self.dataset_id)
        existed = AkkioHook(parse_id("akkio_conn_id", self.akkio_conn_id)).delete_dataset(dataset_id)
        self.log.info("Deleted dataset %s." if existed else "Dataset %s does not exist.", dataset_id)
