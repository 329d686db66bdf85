"""Send rows to Akkio in batches, and add each row to a dataset exactly once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_akkio.api.parameters import (
    is_literal,
    naming_task,
    parse_field_types,
    parse_flag,
    parse_id,
    parse_optional_text,
    parse_row_count,
    validate_literals,
)
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioParameterError,
    AkkioRequestRejectedError,
    AkkioSourceFileError,
    AkkioUnavailableError,
    AkkioUploadIncompleteError,
)
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators._durable import delete_record, task_state_store
from airflow_provider_akkio.operators._files import track_progress

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_akkio.api.types import FieldType
    from airflow_provider_akkio.client.blocking import BlockingClient
    from airflow_provider_akkio.files.reader import FileSummary, RowBatch, RowFile

log = logging.getLogger(__name__)

UPLOAD_KEY = "akkio_upload"
"""Key of the stored upload in the task state store; the record is deleted when Airflow has recorded the success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    """The validated parameters of an operator that uploads, which documents them."""

    akkio_conn_id: str
    dataset_name: str | None
    dataset_id: str | None
    field_types: Mapping[str, FieldType]
    parse_fields: bool | None
    batch_size: int

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return the plan of an operator.

        :param values: parameter name to value, with the names of :data:`_PLAN_PARSERS`; such as ``vars(operator)``.
        :raises AkkioParameterError: if a value is invalid.
        """
        plan = cls(**{name: parse(name, values[name]) for name, parse in _PLAN_PARSERS.items()})
        _check_destination(plan.dataset_name, plan.dataset_id)
        return plan

    @property
    def number_fields(self) -> list[str]:
        """The fields whose cells must be numbers."""
        return [name for name, type_ in self.field_types.items() if type_.is_number]

    def fingerprint(self, digest: str) -> str:
        """Return a hash that is equal only for the same rows in the same batches to the same destination."""
        return hashlib.sha256(json.dumps([asdict(self), digest], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUpload:
    """The progress of an upload, which the task state store keeps for a task retry.

    :param fingerprint: :meth:`UploadPlan.fingerprint` of the upload.
    :param source_digest: digest of the source.
    :param dataset_id: ID of the dataset.
    :param is_new: whether the operator created the dataset, and so may delete it.
    :param rows_before: row count of the dataset before the upload.
    :param rows_arrived: number of rows of the source that are in the dataset for certain.
    :param arrived_digest: :func:`digest_rows` of these rows.
    :param was_uncertain: whether the outcome of any request was unknown, so that its rows may arrive late.
    """

    fingerprint: str
    source_digest: str
    dataset_id: str
    is_new: bool
    rows_before: int
    rows_arrived: int = 0
    arrived_digest: str = ""
    was_uncertain: bool = False

    @classmethod
    def from_json(cls, record: Any) -> Self | None:
        """Parse a stored record, without unknown keys of a newer version; return ``None`` if it is missing.

        :raises AkkioUploadIncompleteError: if it is invalid: to start over could add rows twice.
        """
        match record:
            case None:
                return None
            case {
                "fingerprint": str(),
                "source_digest": str(),
                "dataset_id": str(),
                "is_new": bool(),
                "rows_before": int(),
                "rows_arrived": int(),
                "arrived_digest": str(),
                "was_uncertain": bool(),
            }:
                return cls(**{field.name: record[field.name] for field in fields(cls)})
        raise AkkioUploadIncompleteError(
            f"The stored record {UPLOAD_KEY!r} is invalid, so it is unknown which rows a previous attempt added. This "
            "attempt added none. Check the rows of the dataset. To add all rows, clear the task."
        )

    @property
    def expected_row_count(self) -> int:
        """Row count of the dataset if nothing else adds rows."""
        return self.rows_before + self.rows_arrived


def digest_rows(rows: Iterable[Mapping[str, str | None]], digest: str = "") -> str:
    """Return a digest of rows that does not depend on their division into batches.

    :param rows: field name to text.
    :param digest: digest of the rows before them; default: these rows are the first.
    """
    for row in rows:
        digest = hashlib.sha256((digest + json.dumps(row)).encode()).hexdigest()
    return digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploader:
    """Upload the rows of a file, or resume the upload of a previous attempt.

    :param context: Airflow's context, whose task state store keeps the progress since Airflow 3.3.
    :param client: client of the connection.
    :param plan: parameters of the upload.
    :param file: the source file.
    :param summary: result of the inspection of the file.
    :param is_stopped: returns whether Airflow stopped the task.
    """

    context: Context
    client: BlockingClient
    plan: UploadPlan
    file: RowFile
    summary: FileSummary
    is_stopped: Callable[[], bool]

    def run(self) -> str:
        """Upload all rows.

        :return: ID of the dataset.
        :raises AkkioUploadIncompleteError: if rows arrived, and a retry could add some of them twice.
        :raises AkkioError: if the upload failed, and a task retry can safely resume or repeat it.
        """
        previous = self._load_resumable()
        upload = self._start() if previous is None else self._resume(previous)
        rows_in_flight = 0
        try:
            self._store(upload)
            batches = self.file.batches(self.plan.batch_size, skip=upload.rows_arrived, expected=self.summary)
            what = f"Upload to dataset {upload.dataset_id}"
            progress = track_progress(batches, what, self.summary.row_count, self.is_stopped, done=upload.rows_arrived)
            for number, batch in enumerate(progress):
                rows_in_flight = len(batch.rows)
                # Only the first batch of a resumed upload can have been in flight when the previous attempt ended.
                is_repeated = number == 0 and previous is not None and previous.fingerprint == upload.fingerprint
                was_uncertain = self._append(upload, batch, is_repeated=is_repeated) or upload.was_uncertain
                upload = replace(
                    upload,
                    rows_arrived=upload.rows_arrived + rows_in_flight,
                    arrived_digest=digest_rows(batch.rows, upload.arrived_digest),
                    was_uncertain=was_uncertain,
                )
                rows_in_flight = 0
                self._store(upload)
            self._verify_row_count(upload)
            self._set_types(upload)
        except BaseException as error:
            if upload.is_new:
                self._delete_incomplete(upload, error)
            else:
                self._report_arrived_rows(upload, rows_in_flight, error)
            raise
        log.info("Added %s rows to dataset %s.", f"{self.summary.row_count:,}", upload.dataset_id)
        return upload.dataset_id

    def _set_types(self, upload: StoredUpload) -> None:
        """Infer and set the field types; a task retry whose rows are complete repeats both without harm."""
        datasets, plan = self.client.api.datasets, self.plan
        is_parsed = plan.dataset_name is not None if plan.parse_fields is None else plan.parse_fields
        if is_parsed:
            self.client.run(datasets.parse_fields(upload.dataset_id))
        if plan.field_types:
            self.client.run(datasets.set_field_types(upload.dataset_id, plan.field_types))

    @property
    def _fingerprint(self) -> str:
        return self.plan.fingerprint(self.summary.digest)

    def _start(self) -> StoredUpload:
        datasets, is_new, rows_before = self.client.api.datasets, False, 0
        if self.plan.dataset_id is not None:
            dataset = self.client.run(datasets.get(self.plan.dataset_id))
            dataset_id, rows_before = dataset.id, dataset.rows
        else:
            dataset_id, was_uncertain = self.client.run(datasets.create(self.plan.dataset_name or ""))
            # After an unknown outcome the dataset may be from another client, so the operator must never delete it.
            is_new = not was_uncertain
        return StoredUpload(
            fingerprint=self._fingerprint,
            source_digest=self.summary.digest,
            dataset_id=dataset_id,
            is_new=is_new,
            rows_before=rows_before,
        )

    def _resume(self, previous: StoredUpload) -> StoredUpload:
        log.info(
            "Resuming the upload to dataset %s after %s of %s rows.",
            previous.dataset_id,
            f"{previous.rows_arrived:,}",
            f"{self.summary.row_count:,}",
        )
        return replace(previous, fingerprint=self._fingerprint, source_digest=self.summary.digest, was_uncertain=True)

    def _load_resumable(self) -> StoredUpload | None:
        """Return the upload of a previous attempt if this attempt can resume it."""
        datasets, store = self.client.api.datasets, task_state_store(self.context)
        stored = None if store is None else StoredUpload.from_json(store.get(UPLOAD_KEY))
        if stored is None or (stored.is_new and not self._exists(stored.dataset_id)):
            return None
        if stored.fingerprint == self._fingerprint or self._begins_with_arrived_rows(stored):
            return stored
        if stored.is_new:
            log.warning(
                "Deleting dataset %s from the previous attempt: the rows or the parameters changed.", stored.dataset_id
            )
            self.client.run(datasets.delete(stored.dataset_id))
            return None
        if stored.rows_arrived == 0 and self._nothing_more_arrived(stored):
            return None
        raise AkkioUploadIncompleteError(
            f"{self.file.name}: the rows or the parameters changed after a previous attempt added at least "
            f"{stored.rows_arrived:,} rows to dataset {stored.dataset_id}, which had {stored.rows_before:,} rows "
            "before. This attempt added none. Check the rows of the dataset. To add all current rows, clear the task."
        )

    def _begins_with_arrived_rows(self, stored: StoredUpload) -> bool:
        """Return whether the source has changed only after the rows that a previous attempt added."""
        if not 0 < stored.rows_arrived <= self.summary.row_count:
            return False
        if stored.fingerprint != self.plan.fingerprint(stored.source_digest):
            return False
        digest, rows_left = "", stored.rows_arrived
        for batch in self.file.batches(self.plan.batch_size, expected=self.summary):
            digest = digest_rows(batch.rows[:rows_left], digest)
            rows_left -= len(batch.rows)
            if rows_left <= 0:
                break
        return digest == stored.arrived_digest and self._nothing_more_arrived(stored)

    def _nothing_more_arrived(self, stored: StoredUpload) -> bool:
        """Return whether the dataset has no row of a batch that was in flight when the previous attempt ended."""
        datasets, expected = self.client.api.datasets, stored.expected_row_count
        return self.client.run(datasets.wait_for_row_count(stored.dataset_id, expected + 1)) == expected

    def _exists(self, dataset_id: str) -> bool:
        return any(dataset.id == dataset_id for dataset in self.client.run(self.client.api.datasets.list()))

    def _append(self, upload: StoredUpload, batch: RowBatch, *, is_repeated: bool) -> bool:
        """Append a batch unless a previous attempt did; return whether the outcome was unknown for a while."""
        datasets, dataset_id, rows_before = self.client.api.datasets, upload.dataset_id, upload.expected_row_count
        if is_repeated and self.client.run(datasets.rows_arrived(dataset_id, rows_before, len(batch.rows))):
            return True
        return self.client.run(datasets.append(dataset_id, batch.rows, rows_before))

    def _verify_row_count(self, upload: StoredUpload) -> None:
        expected = upload.expected_row_count
        row_count = self.client.run(self.client.api.datasets.wait_for_row_count(upload.dataset_id, expected))
        if row_count == expected:
            return
        message = (
            f"Dataset {upload.dataset_id} has {row_count:,} rows, expected {expected:,}: {upload.rows_before:,} from "
            f"before the upload and {upload.rows_arrived:,} from {self.file.name}."
        )
        if row_count < expected or upload.is_new or upload.was_uncertain:
            raise AkkioUploadIncompleteError(message)
        log.warning("%s Something else adds rows to the dataset.", message)

    def _delete_incomplete(self, upload: StoredUpload, error: BaseException) -> None:
        """Delete a new dataset, so that no task uses it as if it were complete."""
        try:
            self.client.run(self.client.api.datasets.delete(upload.dataset_id))
        except AkkioError as failure:
            log.warning("Could not delete the incomplete dataset %s. Delete it. %s", upload.dataset_id, failure)
            return
        log.info("Deleted the incomplete dataset %s.", upload.dataset_id)
        delete_record(self.context, UPLOAD_KEY)
        if isinstance(error, AkkioUploadIncompleteError):
            # With the dataset gone, a task retry cannot add a row twice, so it must not be prevented.
            raise AkkioError(f"{error} The operator deleted the dataset; you can retry the task.") from error

    def _report_arrived_rows(self, upload: StoredUpload, rows_in_flight: int, error: BaseException) -> None:
        """Report which rows arrived, and prevent a task retry that could not know it."""
        may_have_arrived = rows_in_flight > 0 and _may_have_acted(error)
        is_final = isinstance(error, AkkioUploadIncompleteError)
        if not (upload.rows_arrived or may_have_arrived or is_final):
            return
        arrived, total = upload.rows_arrived, self.summary.row_count
        message = (
            f"Dataset {upload.dataset_id} had {upload.rows_before:,} rows before the upload. Akkio accepted the first "
            f"{arrived:,} of the {total:,} rows of {self.file.name}."
        )
        if may_have_arrived:
            message += f" It is unknown whether rows {arrived + 1:,} to {arrived + rows_in_flight:,} arrived."
        if task_state_store(self.context) is not None and not is_final:
            log.warning("%s If you retry or clear the task, it resumes after them.", message)
            return
        raise AkkioUploadIncompleteError(
            f"{error} {message} Check the dataset before you run or clear the task again: it then adds all rows, "
            "including these."
        ) from error

    def _store(self, upload: StoredUpload) -> None:
        if (store := task_state_store(self.context)) is not None:
            store.set(UPLOAD_KEY, asdict(upload))


def validate_upload(task_id: str, values: Mapping[str, Any]) -> None:
    """Validate the parameters of an :class:`UploadPlan`, as far as they are known when the DAG file is parsed.

    :param task_id: ID of the Airflow task.
    :param values: parameter name to value, such as ``vars(operator)``.
    :raises AkkioParameterError: if a value is invalid.
    """
    validate_literals(task_id, values, _PLAN_PARSERS)
    dataset_name, dataset_id = values["dataset_name"], values["dataset_id"]
    if is_literal(dataset_name) and is_literal(dataset_id):
        with naming_task(task_id):
            _check_destination(dataset_name, dataset_id)


def upload_file(
    operator: BaseOperator,
    context: Context,
    *,
    plan: UploadPlan,
    file: RowFile,
    summary: FileSummary,
    is_stopped: Callable[[], bool],
) -> str:
    """Upload a validated file, and push the XComs ``dataset_id`` and ``row_count``.

    :param operator: the operator of the task.
    :param context: Airflow's context.
    :param plan: parameters of the upload.
    :param file: the source.
    :param summary: result of the inspection of the source.
    :param is_stopped: returns whether Airflow stopped the task.
    :return: ID of the dataset.
    """
    if unknown := sorted(plan.field_types.keys() - set(summary.fields)):
        raise AkkioSourceFileError(
            f"{file.name} has no field '{printable(unknown[0])}', which field_types names. Its fields are "
            f"{printable(', '.join(summary.fields))}."
        )
    with AkkioHook(plan.akkio_conn_id).open_client() as client:
        dataset_id = Uploader(
            context=context, client=client, plan=plan, file=file, summary=summary, is_stopped=is_stopped
        ).run()
    if operator.do_xcom_push:
        context["ti"].xcom_push(key="dataset_id", value=dataset_id)
        context["ti"].xcom_push(key="row_count", value=summary.row_count)
    return dataset_id


def _parse_optional_flag(name: str, value: Any) -> bool | None:
    return None if value in (None, "", "None") else parse_flag(name, value)


def _check_destination(dataset_name: str | None, dataset_id: str | None) -> None:
    if (dataset_name is None) == (dataset_id is None):
        raise AkkioParameterError("Set either dataset_name, to create a dataset, or dataset_id, to append to one.")


_PLAN_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "dataset_name": parse_optional_text,
    "dataset_id": parse_optional_text,
    "field_types": parse_field_types,
    "parse_fields": _parse_optional_flag,
    "batch_size": parse_row_count,
    "akkio_conn_id": parse_id,
}


def _may_have_acted(error: BaseException) -> bool:
    if isinstance(error, AkkioUnavailableError):
        return error.outcome_is_unknown
    return not isinstance(error, AkkioRequestRejectedError)


def delete_stored_upload(context: Context) -> None:
    """Delete the stored upload; as a callback on success, so that a cleared task uploads again."""
    delete_record(context, UPLOAD_KEY)


def delete_unresumable_upload(context: Context) -> None:
    """Delete the stored upload if a task failed with :class:`AkkioUploadIncompleteError`; as a callback on failure."""
    if isinstance(context.get("exception"), AkkioUploadIncompleteError):
        delete_record(context, UPLOAD_KEY)
