"""Take rows into a dataset of Akkio's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_akkio.api.parameters import count, is_literal, listed, naming, parse_id
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION, AkkioHook
from airflow_provider_akkio.operators._upload import Plan, Uploader, forget, forget_what_a_person_clears

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_TYPES = frozenset({"category", "number", "string"})


class AkkioUploadDatasetOperator(BaseOperator):
    """Take the rows of a file into a new dataset, or append them to one: each exactly once.

    The file is read twice, in bounded memory: to check all of it before anything is sent, and to send it. It is CSV
    (``.csv``), JSON Lines (``.jsonl``, ``.ndjson``), either also with ``.gz``, or Parquet (``.parquet``; extra
    ``parquet``). In CSV, a plain number is a number, an empty cell null, and everything else text, such as ``007``.

    Adding rows is not idempotent. So after an unknown outcome the dataset's own number of rows tells whether they
    arrived, and a later try goes on after the last that did, by Airflow's task state store (3.3 and newer; before,
    ``retries=0`` keeps an append that is killed from adding rows twice). A new dataset that fails half way is deleted.

    XComs: ``dataset_id`` and ``rows``, how many were uploaded. The return value is the dataset's id.

    :param source: the file: whatever Airflow's ``ObjectStoragePath`` opens, such as ``/data/leads.csv`` or
        ``s3://connection@bucket/leads.parquet``.
    :param dataset_name: name of the dataset to make; several of Akkio's may have the same.
    :param dataset_id: id of the dataset to append to; one of the two is needed.
    :param fields: Akkio's types of some fields, ``category``, ``string`` or ``number`` by name; the cells of the first
        two are sent as the text they are. By default Akkio finds all types itself.
    :param batch_size: most rows of a request; default 1,000. One with many or long cells takes fewer.
    :param akkio_conn_id: id of the Airflow connection, of the type ``akkio``; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is wrong.
    :raises AkkioSourceFileError: if the file cannot be used; nothing was sent then.
    :raises AkkioUploadIncompleteError: if rows arrived, and to go on could add some twice.
    """

    template_fields: Sequence[str] = (
        "source",
        "dataset_name",
        "dataset_id",
        "fields",
        "batch_size",
        "akkio_conn_id",
    )
    _is_stopped = False

    def __init__(
        self,
        *,
        source: str | os.PathLike[str],
        dataset_name: str | None = None,
        dataset_id: str | None = None,
        fields: Mapping[str, str] | None = None,
        batch_size: int | str = 1000,
        akkio_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = [*listed(self.on_success_callback), forget]
        self.on_failure_callback = [*listed(self.on_failure_callback), forget_what_a_person_clears]
        self.source = source
        self.dataset_name = dataset_name
        self.dataset_id = dataset_id
        self.fields = fields
        self.batch_size = batch_size
        self.akkio_conn_id = akkio_conn_id
        with naming(self.task_id):
            self._refuse_wrong_literals()

    def execute(self, context: Context) -> str:
        """Check the file, and upload its rows."""
        from airflow_provider_akkio.files.reader import RowFile
        from airflow_provider_akkio.files.storage import path_of

        plan = self._plan()
        table = RowFile(path_of("source", self.source))
        summary = table.inspect()
        if missing := plan.types.keys() - summary.fields:
            fields = printable(", ".join(summary.fields))
            raise AkkioSourceFileError(f"{table.name}: no field '{printable(min(missing))}'; the fields are {fields}.")
        self.log.info("%s has %s rows of %d fields.", self.source, f"{summary.row_count:,}", len(summary.fields))
        with AkkioHook(plan.akkio_conn_id).open_client() as client:
            dataset_id = Uploader(context, client, plan, table, summary, is_stopped=lambda: self._is_stopped).run()
        if self.do_xcom_push:
            context["ti"].xcom_push(key="dataset_id", value=dataset_id)
            context["ti"].xcom_push(key="rows", value=summary.row_count)
        return dataset_id

    def on_kill(self) -> None:
        """End between two requests, so that a new dataset can be deleted."""
        self._is_stopped = True

    def _plan(self) -> Plan:
        if (self.dataset_name is None) == (self.dataset_id is None):
            raise AkkioParameterError("One of dataset_name, for a new dataset, and dataset_id, to append, is needed.")
        if self.fields is not None and not isinstance(self.fields, Mapping):
            raise AkkioParameterError(f"fields must be field names with their types, not {self.fields!r}.")
        for field, type_ in (self.fields or {}).items():
            if type_ not in _TYPES:
                types = ", ".join(sorted(_TYPES))
                raise AkkioParameterError(f"The type of '{printable(field)}' must be one of {types}, not {type_!r}.")
        return Plan(
            akkio_conn_id=parse_id("akkio_conn_id", self.akkio_conn_id),
            dataset_name=None if self.dataset_name is None else parse_id("dataset_name", self.dataset_name),
            dataset_id=None if self.dataset_id is None else parse_id("dataset_id", self.dataset_id),
            types=dict(self.fields or {}),
            batch_size=count("batch_size", self.batch_size),
        )

    def _refuse_wrong_literals(self) -> None:
        values = [getattr(self, name) for name in self.template_fields if name not in ("source", "fields")]
        if all(is_literal(value) for value in values):
            self._plan()
