"""Have a model predict for the rows of a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_akkio.api.request import parse_flag, parse_id
from airflow_provider_akkio.exceptions import AkkioError, AkkioParameterError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION, AkkioHook
from airflow_provider_akkio.keeping import remove, store_of
from airflow_provider_akkio.parameters import count, is_literal, listed, naming
from airflow_provider_akkio.progress import ProgressLog

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_akkio.tables.reading import Summary, Table

KEY = "akkio_output"
"""Under which the output lies in the task's state store, from its last moment aside until Airflow knows the success."""


def forget(context: Context) -> None:
    """Remove what was kept; as a callback on success.

    :param context: the task's context.
    """
    remove(context, KEY)


class AkkioPredictOperator(BaseOperator):
    """Stream the rows of a file through a model, and write them with Akkio's predictions beside them.

    Both files are CSV (``.csv``), JSON Lines (``.jsonl``, ``.ndjson``), either also with ``.gz``, or Parquet
    (``.parquet``; extra ``parquet``). The columns of the output are the source's, and then Akkio's: the predicted
    field, and each class's probability. One that the source has, too, is called ``… (predicted)``.

    The output is there whole or not at all. A retry is safe, since nothing changes at Akkio; before Airflow 3.3 it
    needs ``overwrite=True`` where a worker dies just after it has written the output.

    XComs: ``rows``, how many there are, and ``output``. The return value is the output's path.

    :param model_id: the model.
    :param source: the file with the rows: whatever Airflow's ``ObjectStoragePath`` opens.
    :param output: the file to write, likewise; its ending says in which format.
    :param explain: let Akkio add what led to each prediction; default no.
    :param batch_rows: most rows of a request; default 500. One with many or long cells takes fewer.
    :param overwrite: replace an output that exists; default no, which fails the task before anything is sent.
    :param akkio_conn_id: id of the Airflow connection, of the type ``akkio``; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is wrong, or the output exists.
    :raises AkkioUnusableSource: if the source cannot be used; nothing was sent then.
    :raises AkkioPredictionsMismatch: if Akkio answers with more or fewer predictions than rows.
    :raises AkkioNotFound: if the model is gone.
    """

    template_fields: Sequence[str] = (
        "model_id",
        "source",
        "output_path",
        "explain",
        "batch_rows",
        "overwrite",
        "akkio_conn_id",
    )
    _is_stopped = False

    def __init__(
        self,
        *,
        model_id: str,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str],
        explain: bool | str = False,
        batch_rows: int | str = 500,
        overwrite: bool | str = False,
        akkio_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = [*listed(self.on_success_callback), forget]
        self.model_id = model_id
        self.source = source
        self.output_path = output  # a task's ``output`` is its return value, for those that follow
        self.explain = explain
        self.batch_rows = batch_rows
        self.overwrite = overwrite
        self.akkio_conn_id = akkio_conn_id
        with naming(self.task_id):
            self._refuse_wrong_literals()

    def execute(self, context: Context) -> str:
        """Check both files, ask for the predictions, and write them."""
        from airflow_provider_akkio.storage import path_of
        from airflow_provider_akkio.tables.formats import Format, kind_of
        from airflow_provider_akkio.tables.reading import Table

        parse_id("model_id", self.model_id)
        output = path_of("output", self.output_path)
        kind = kind_of(output.name)
        if output.is_dir():
            raise AkkioParameterError(f"output {str(self.output_path)!r} is a folder; it must be a file.")
        self._refuse_existing(context, output)
        table = Table(path_of("source", self.source))
        summary = table.inspect(finds_numbers=kind.format is Format.PARQUET)
        self.log.info("%s has %s rows of %d fields.", self.source, f"{summary.rows:,}", len(summary.fields))
        self._predict(context, table, summary, output)
        self.log.info("%s has the predictions of model %s.", self.output_path, self.model_id)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="rows", value=summary.rows)
            context["ti"].xcom_push(key="output", value=str(self.output_path))
        return str(self.output_path)

    def on_kill(self) -> None:
        """End between two requests, so that nothing is left aside."""
        self._is_stopped = True

    def _predict(self, context: Context, table: Table, summary: Summary, output: ObjectStoragePath) -> None:
        from airflow_provider_akkio.storage import written_whole
        from airflow_provider_akkio.tables.formats import kind_of
        from airflow_provider_akkio.tables.writing import writer_for

        explain = parse_flag("explain", self.explain)
        progress, done = ProgressLog(self.log.info, f"Predictions of model {self.model_id}", summary.rows), 0
        with (
            AkkioHook(parse_id("akkio_conn_id", self.akkio_conn_id)).open_client() as client,
            written_whole(output, context) as file,
            writer_for(file, kind_of(output.name), table, summary) as writer,
        ):
            for batch in table.batches(count("batch_rows", self.batch_rows), expected=summary):
                if self._is_stopped:
                    raise AkkioError("The task was told to end while it asked for predictions.")
                models = client.protocol.models
                writer.write(batch, client.run(models.predict(self.model_id, batch.rows, explain=explain)))
                done += len(batch.rows)
                progress.reached(done)
            self._note(context)

    def _refuse_existing(self, context: Context, output: ObjectStoragePath) -> None:
        """Refuse to replace a file that was there before the task, unless that is wanted."""
        if parse_flag("overwrite", self.overwrite) or not output.exists():
            return
        store = store_of(context)
        if store is not None and store.get(KEY) == str(self.output_path):
            self.log.info("%s is of an earlier try of this task, and is written anew.", self.output_path)
            return
        raise AkkioParameterError(f"output {str(self.output_path)!r} exists; overwrite=True replaces it.")

    def _note(self, context: Context) -> None:
        """Note that the output is this task's own, for a try that comes after it is there."""
        if (store := store_of(context)) is not None:
            store.set(KEY, str(self.output_path))

    def _refuse_wrong_literals(self) -> None:
        for name in ("model_id", "akkio_conn_id"):
            if is_literal(value := getattr(self, name)):
                parse_id(name, value)
        for name in ("explain", "overwrite"):
            if is_literal(value := getattr(self, name)):
                parse_flag(name, value)
        if is_literal(self.batch_rows):
            count("batch_rows", self.batch_rows)
