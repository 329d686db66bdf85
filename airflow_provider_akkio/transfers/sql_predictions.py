"""Predict for the rows of a query, and write them with the predictions to a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_akkio.api.parameters import (
    parse_id,
    parse_optional_text,
    parse_row_count,
    validate_literals,
)
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID, AkkioHook
from airflow_provider_akkio.operators._files import track_progress
from airflow_provider_akkio.operators._predictor import Predictor, validate_predictor
from airflow_provider_akkio.transfers._query import QUERY_PARSERS, Stopper, database_hook, open_query
from airflow_provider_akkio.transfers._table import IfExists, PredictedRows, PredictionTable, open_engine
from airflow_provider_akkio.transfers._temporary import temporary_file

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SqlToAkkioPredictionOperator(BaseOperator):
    """Predict for the rows of a query, and write the rows with the predictions to a table, in one transaction.

    The connections are any with a ``DbApiHook`` (extra ``common-sql``); SQLAlchemy must support the one of the table.
    The operator validates all rows before the first request, and sends every cell as text, and a missing value as null.
    It writes to the table after the last prediction, so a failed task leaves the table as it was. The table has the
    columns of the query, then those of Akkio: the predicted field and the probability of each class. A column that
    exists in both gets the suffix ``(predicted)``. With ``transforms_only``, the transformed columns replace those of
    the same name, and new ones follow. The last column has the ID of the task run. A task retry, and a cleared task,
    replaces the rows that it wrote before.

    If the table does not exist, the operator creates it with text columns, and ``DOUBLE PRECISION`` for predicted
    numbers and probabilities. If it exists, the database casts the text to the types of the table.

    XComs: ``row_count``, ``table``. The return value is the name of the table.

    :param sql: a query, or the name of a ``.sql`` file with a query.
    :param sql_conn_id: ID of the Airflow connection to the database.
    :param parameters: parameters of the query, as the database driver accepts them; default none.
    :param model_id: ID of the model.
    :param deployment: deployed model, as ``<id>/<version>``. Set either ``model_id`` or ``deployment``.
    :param table: name of the table to write, such as ``predictions`` or ``analytics.predictions``.
    :param output_conn_id: ID of the Airflow connection of the table; default ``sql_conn_id``.
    :param if_exists: what to do if the table has rows of other task runs: ``fail`` (default), before the first request;
        ``append``; or ``replace``, which deletes them in the same transaction and keeps the table.
    :param run_column: name of the column with the ID of the task run; default ``airflow_run``.
    :param explain: have Akkio explain each prediction of ``model_id``; default ``False``.
    :param transforms_only: apply only the transforms of ``deployment``, without predictions; default ``False``.
    :param batch_size: maximum number of rows per request; default 500. Requests with large rows have fewer.
    :param null_values: texts that are sent as null, such as ``["NA", "nan"]``. An empty text always is.
    :param on_empty: ``fail`` (default) or ``skip`` the task if the query returns no rows; the table stays as it is.
    :param akkio_conn_id: ID of the Airflow connection to Akkio; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is invalid, the provider ``common-sql`` is missing, or the table cannot
        receive the rows, before anything is sent; or if it cannot receive the predictions, after the first request.
    :raises AkkioSourceFileError: if a row is invalid, before anything is sent; or if the table would have two columns
        with the same name, after the first request.
    :raises AkkioPredictionMismatchError: if Akkio returns more or fewer predictions than rows.
    :raises AkkioNotFoundError: if the model or deployment does not exist.
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "parameters",
        "model_id",
        "deployment",
        "table",
        "output_conn_id",
        "if_exists",
        "run_column",
        "explain",
        "transforms_only",
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
        model_id: str | None = None,
        deployment: str | None = None,
        table: str,
        output_conn_id: str | None = None,
        if_exists: str = "fail",
        run_column: str = "airflow_run",
        explain: bool | str = False,
        transforms_only: bool | str = False,
        batch_size: int | str = 500,
        null_values: str | Sequence[str] | None = ("",),
        on_empty: str = "fail",
        akkio_conn_id: str = DEFAULT_CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.model_id = model_id
        self.deployment = deployment
        self.table = table
        self.output_conn_id = output_conn_id
        self.if_exists = if_exists
        self.run_column = run_column
        self.explain = explain
        self.transforms_only = transforms_only
        self.batch_size = batch_size
        self.null_values = null_values
        self.on_empty = on_empty
        self.akkio_conn_id = akkio_conn_id
        self._stopper = Stopper()
        validate_literals(self.task_id, vars(self), {**QUERY_PARSERS, **_TABLE_PARSERS})
        validate_predictor(self.task_id, vars(self))

    def execute(self, context: Context) -> str:
        """Run the query, predict, and write the table."""
        from airflow_provider_akkio.files.writer import open_prediction_writer

        predictor = Predictor.parse(vars(self))
        parsed = {name: parse(name, getattr(self, name)) for name, parse in _TABLE_PARSERS.items()}
        akkio = AkkioHook(parsed["akkio_conn_id"])
        with (
            self._open_table(parsed, context) as table,
            open_query(vars(self), self._stopper) as (source, summary),
            temporary_file("Predictions") as output,
        ):
            table.check(summary.fields)
            with (
                akkio.open_client() as client,
                open_prediction_writer(
                    output.output, output.name, source, summary, replaces_columns=predictor.transforms_only
                ) as writer,
            ):
                batches = source.batches(parsed["batch_size"], expected=summary)
                what = f"Predictions of {predictor}"
                progress = track_progress(batches, what, summary.row_count, lambda: self._stopper.is_stopped)
                for number, batch in enumerate(progress):
                    writer.write(batch, client.run(predictor.predict(client.api, batch.rows)))
                    if number == 0:  # before the other predictions, which may be many
                        table.check(writer.columns)
            table.write(PredictedRows.inspect(output), lambda: self._stopper.is_stopped)
        self.log.info("Wrote %s predictions to table %s.", f"{summary.row_count:,}", table.table)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="row_count", value=summary.row_count)
            context["ti"].xcom_push(key="table", value=table.table)
        return table.table

    def on_kill(self) -> None:
        """Stop the query, or the predictions between two requests, or the transaction."""
        self._stopper.stop()

    @contextmanager
    def _open_table(self, parsed: Mapping[str, Any], context: Context) -> Iterator[PredictionTable]:
        name = "sql_conn_id" if parsed["output_conn_id"] is None else "output_conn_id"
        hook = database_hook(name, parse_id(name, getattr(self, name)))
        with open_engine(hook) as engine:
            yield PredictionTable(
                engine=engine,
                table=parsed["table"],
                run_column=parsed["run_column"],
                run=_run_of(context),
                if_exists=parsed["if_exists"],
            )


def _run_of(context: Context) -> str:
    """Return the ID of a task run, which is the same for all its attempts."""
    ti = context["ti"]
    parts = [ti.dag_id, ti.run_id, ti.task_id]
    if ti.map_index is not None and ti.map_index >= 0:
        parts.append(str(ti.map_index))
    return "/".join(parts)


def _parse_table(name: str, value: Any) -> str:
    table = parse_id(name, value)
    if not all(part.strip() for part in table.split(".")):
        raise AkkioParameterError(f"{name} must be a table or schema.table, not {printable(repr(value))}.")
    return table


def _parse_if_exists(name: str, value: Any) -> IfExists:
    if value not in list(IfExists):
        raise AkkioParameterError(f"{name} must be one of {', '.join(IfExists)}, not {printable(repr(value))}.")
    return IfExists(value)


_TABLE_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "table": _parse_table,
    "output_conn_id": parse_optional_text,
    "if_exists": _parse_if_exists,
    "run_column": parse_id,
    "batch_size": parse_row_count,
    "akkio_conn_id": parse_id,
}
