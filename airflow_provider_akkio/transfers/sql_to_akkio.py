"""Upload the rows of a query to a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_akkio.api.parameters import validate_literals
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID
from airflow_provider_akkio.operators._durable import with_callback
from airflow_provider_akkio.operators._upload import (
    UploadPlan,
    delete_stored_upload,
    delete_unresumable_upload,
    upload_file,
    validate_upload,
)
from airflow_provider_akkio.transfers._query import QUERY_PARSERS, Stopper, open_query

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SqlToAkkioDatasetOperator(BaseOperator):
    """Upload the rows of a query to a new dataset, or append them to a dataset, each row exactly once.

    The connection is any with a ``DbApiHook`` (extra ``common-sql``). The operator writes the rows to a temporary file
    while it validates them, closes the connection, and then uploads the file as
    :class:`~airflow_provider_akkio.operators.akkio.AkkioUploadDatasetOperator` does, with the same guarantees. It sends
    every cell as text, and a missing value as null. Memory does not grow with the result, unless the database driver
    loads all of it.

    A task retry runs the query again. It resumes if the result begins with the rows that a previous attempt added, so
    order the query with ``ORDER BY``. Otherwise it deletes the incomplete new dataset and starts again, or fails if it
    appends. Resuming needs Airflow's task state store (Airflow 3.3).

    XComs: ``dataset_id``, ``row_count`` (number of uploaded rows). The return value is the dataset ID.

    :param sql: a query, or the name of a ``.sql`` file with a query.
    :param sql_conn_id: ID of the Airflow connection to the database.
    :param parameters: parameters of the query, as the database driver accepts them; default none.
    :param dataset_name: name of the dataset to create; Akkio allows several datasets with the same name.
    :param dataset_id: ID of the dataset to append to. Set either ``dataset_name`` or ``dataset_id``.
    :param field_types: field name to Akkio field type: ``category``, ``id``, ``integer``, ``float`` (or ``number``),
        ``string``, ``date`` or ``unknown``; default the types that Akkio infers. If a field is typed ``integer`` or
        ``float``, its cells must be numbers.
    :param parse_fields: whether Akkio infers the types of all fields after the last row; default yes for a new dataset,
        no for an existing one.
    :param batch_size: maximum number of rows per request; default 1,000. Requests with large rows have fewer.
    :param null_values: texts that are sent as null, such as ``["NA", "nan"]``. An empty text always is.
    :param on_empty: ``fail`` (default) or ``skip`` the task if the query returns no rows.
    :param akkio_conn_id: ID of the Airflow connection to Akkio; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is invalid, or the provider ``common-sql`` is missing.
    :raises AkkioSourceFileError: if a row is invalid, before anything is sent.
    :raises AkkioUploadIncompleteError: if some rows arrived, and a retry could add rows twice.
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "parameters",
        "dataset_name",
        "dataset_id",
        "field_types",
        "parse_fields",
        "batch_size",
        "null_values",
        "on_empty",
        "akkio_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}

    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        dataset_name: str | None = None,
        dataset_id: str | None = None,
        field_types: Mapping[str, str] | None = None,
        parse_fields: bool | str | None = None,
        batch_size: int | str = 1000,
        null_values: str | Sequence[str] | None = ("",),
        on_empty: str = "fail",
        akkio_conn_id: str = DEFAULT_CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = with_callback(self.on_success_callback, delete_stored_upload)
        self.on_failure_callback = with_callback(self.on_failure_callback, delete_unresumable_upload)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.dataset_name = dataset_name
        self.dataset_id = dataset_id
        self.field_types = field_types
        self.parse_fields = parse_fields
        self.batch_size = batch_size
        self.null_values = null_values
        self.on_empty = on_empty
        self.akkio_conn_id = akkio_conn_id
        self._stopper = Stopper()
        validate_literals(self.task_id, vars(self), QUERY_PARSERS)
        validate_upload(self.task_id, vars(self))

    def execute(self, context: Context) -> str:
        """Run the query, and upload its rows."""
        plan = UploadPlan.parse(vars(self))
        with open_query(vars(self), self._stopper, plan.number_fields) as (file, summary):
            return upload_file(
                self, context, plan=plan, file=file, summary=summary, is_stopped=lambda: self._stopper.is_stopped
            )

    def on_kill(self) -> None:
        """Stop the query, or the upload between two requests."""
        self._stopper.stop()
