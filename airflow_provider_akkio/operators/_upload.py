"""How far a long task has come, in its log."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioRequestRejectedError,
    AkkioUnavailableError,
    AkkioUploadIncompleteError,
)
from airflow_provider_akkio.operators._durable import remove, store_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.client.blocking import BlockingClient
    from airflow_provider_akkio.files.reader import FileSummary, RowBatch, RowFile

log = logging.getLogger(__name__)


SECONDS_BETWEEN = 30.0


class ProgressLog:
    """Says from time to time how many rows are done.

    :param say: a log's method, which is told.
    :param what: what is done with them, such as ``"Rows in dataset D1"``.
    :param total: how many there are.
    """

    def __init__(self, say: Callable[..., None], what: str, total: int) -> None:
        self._say = say
        self._what = what
        self._total = total
        self._said_at = time.monotonic()

    def reached(self, rows: int) -> None:
        """Take how many rows are done; every half minute it is said."""
        if time.monotonic() - self._said_at >= SECONDS_BETWEEN:
            self._said_at = time.monotonic()
            self._say("%s: %s of %s.", self._what, f"{rows:,}", f"{self._total:,}")


KEY = "akkio_upload"
"""Under which an upload lies in the task's state store until Airflow has recorded its success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """How far an upload has come.

    :param fingerprint: tells whether a later try uploads the same; see :meth:`Plan.fingerprint`.
    :param dataset_id: into which dataset.
    :param is_new: whether the dataset was made for it.
    :param rows_before: how many rows the dataset had.
    :param rows_arrived: how many rows of the file are in it for certain.
    :param was_in_doubt: whether a request had no answer, or a try ended while one was on its way: it may arrive late.
    """

    fingerprint: str
    dataset_id: str
    is_new: bool
    rows_before: int
    rows_arrived: int = 0
    was_in_doubt: bool = False

    @classmethod
    def from_entry(cls, entry: Any) -> Self | None:
        """Read what :meth:`to_entry` returned; ``None`` if there is nothing, or nothing of ours."""
        match entry:
            case {
                "fingerprint": str(fingerprint),
                "dataset_id": str(dataset_id),
                "is_new": bool(is_new),
                "rows_before": int(rows_before),
                "rows_arrived": int(rows_arrived),
            }:
                return cls(
                    fingerprint=fingerprint,
                    dataset_id=dataset_id,
                    is_new=is_new,
                    rows_before=rows_before,
                    rows_arrived=rows_arrived,
                    was_in_doubt=entry.get("was_in_doubt") is True,
                )
        return None

    def to_entry(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)

    @property
    def rows_in_dataset(self) -> int:
        """How many rows the dataset has if nobody else adds any."""
        return self.rows_before + self.rows_arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be uploaded, and where to.

    :param akkio_conn_id: id of the connection.
    :param dataset_name: name of the dataset to make; ``None`` if there is one.
    :param dataset_id: id of the dataset to append to; ``None`` if one is made.
    :param types: field name to Akkio's type.
    :param batch_size: most rows of a request.
    """

    akkio_conn_id: str
    dataset_name: str | None
    dataset_id: str | None
    types: Mapping[str, str]
    batch_size: int

    def fingerprint(self, summary: FileSummary) -> str:
        """Return a text that is the same for the same rows, cut in the same way and sent to the same place, alone."""
        return hashlib.sha256(json.dumps([asdict(self), summary.digest], sort_keys=True).encode()).hexdigest()


class Uploader:
    """Takes a file's rows into a dataset, and goes on where an earlier try of the task ended.

    :param context: the task's context.
    :param client: speaks to Akkio.
    :param plan: what to upload.
    :param table: the file.
    :param summary: what is known of it.
    :param is_stopped: asked between two requests whether the task has been told to end.
    """

    def __init__(
        self,
        context: Context,
        client: BlockingClient,
        plan: Plan,
        table: RowFile,
        summary: FileSummary,
        *,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._context = context
        self._client = client
        self._datasets = client.api.datasets
        self._store = store_of(context)
        self._plan = plan
        self._table = table
        self._summary = summary
        self._is_stopped = is_stopped
        self._in_flight = 0

    def run(self) -> str:
        """Upload all rows, and return the dataset's id.

        :raises AkkioUploadIncompleteError: if some arrived, and to go on could add rows twice.
        :raises AkkioError: if it failed, and a later try begins anew or goes on.
        """
        earlier = self._earlier()
        self._upload = self._begin() if earlier is None else replace(earlier, was_in_doubt=True)
        with self._undoing():
            self._keep()
            self._send(is_resumed=earlier is not None)
            self._check()
            if self._plan.types:
                self._client.run(self._datasets.set_types(self._upload.dataset_id, self._plan.types))
        log.info("Dataset %s has %s rows more.", self._upload.dataset_id, f"{self._summary.row_count:,}")
        return self._upload.dataset_id

    def _begin(self) -> Upload:
        fingerprint = self._plan.fingerprint(self._summary)
        if self._plan.dataset_id is not None:
            dataset = self._client.run(self._datasets.get(self._plan.dataset_id))
            return Upload(fingerprint=fingerprint, dataset_id=dataset.id, is_new=False, rows_before=dataset.rows)
        dataset_id, was_in_doubt = self._client.run(self._datasets.create(self._plan.dataset_name or ""))
        # One that may be somebody else's is never deleted.
        return Upload(fingerprint=fingerprint, dataset_id=dataset_id, is_new=not was_in_doubt, rows_before=0)

    def _earlier(self) -> Upload | None:
        """Return the upload that an earlier try began, if this one can go on with it."""
        upload = None if self._store is None else Upload.from_entry(self._store.get(KEY))
        if upload is None:
            return None
        if upload.is_new and not self._is_there(upload.dataset_id):
            return None
        if upload.fingerprint == self._plan.fingerprint(self._summary):
            log.info(
                "Going on with dataset %s, into which an earlier try took %s rows.",
                upload.dataset_id,
                f"{upload.rows_arrived:,}",
            )
            return upload
        if upload.is_new:
            log.warning("The file or the parameters have changed; dataset %s is deleted.", upload.dataset_id)
            self._client.run(self._datasets.delete(upload.dataset_id))
            return None
        if (
            upload.rows_arrived == 0
            and self._client.run(self._datasets.settled_count(upload.dataset_id, upload.rows_before + 1))
            == upload.rows_before
        ):
            return None
        raise AkkioUploadIncompleteError(
            f"The file or the parameters have changed since an earlier try of this task added {upload.rows_arrived:,} "
            f"rows or more to dataset {upload.dataset_id}, which had {upload.rows_before:,} before. Nothing was added "
            "now. See what is in the dataset; clear the task to add all rows of the file as it is."
        )

    def _is_there(self, dataset_id: str) -> bool:
        return any(one.id == dataset_id for one in self._client.run(self._datasets.list()))

    def _send(self, *, is_resumed: bool) -> None:
        dataset_id = self._upload.dataset_id
        progress = ProgressLog(log.info, f"Rows in dataset {dataset_id}", self._summary.row_count)
        for batch in self._table.batches(self._plan.batch_size, self._upload.rows_arrived, self._summary):
            if self._is_stopped():
                raise AkkioError("The task was told to end while it uploaded rows.")
            self._in_flight = len(batch.rows)
            self._append(dataset_id, batch, may_be_there=is_resumed)
            is_resumed = False
            self._upload = replace(self._upload, rows_arrived=self._upload.rows_arrived + self._in_flight)
            self._in_flight = 0
            self._keep()
            progress.reached(self._upload.rows_arrived)

    def _append(self, dataset_id: str, batch: RowBatch, *, may_be_there: bool) -> None:
        already, count = self._upload.rows_in_dataset, len(batch.rows)
        if may_be_there and self._client.run(self._datasets.has_arrived(dataset_id, already, count)):
            return
        if self._client.run(self._datasets.append(dataset_id, batch.rows, already)):
            self._upload = replace(self._upload, was_in_doubt=True)

    def _check(self) -> None:
        """See that the dataset has as many rows as it should."""
        upload = self._upload
        rows = self._client.run(self._datasets.settled_count(upload.dataset_id, upload.rows_in_dataset))
        if rows == upload.rows_in_dataset:
            return
        message = (
            f"Dataset {upload.dataset_id} has {rows:,} rows, where {upload.rows_before:,} from before and "
            f"{upload.rows_arrived:,} of the file make {upload.rows_in_dataset:,}."
        )
        if rows < upload.rows_in_dataset or upload.is_new or upload.was_in_doubt:
            raise AkkioUploadIncompleteError(f"{message} See what is in it before you add rows again.")
        log.warning("%s Something else adds rows, too.", message)

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        """Delete a new dataset that fails half way, which nothing may take for whole; say how far an append came."""
        try:
            yield
        except BaseException as error:
            if not self._upload.is_new:
                self._tell_what_arrived(error)
            elif self._has_deleted(self._upload.dataset_id) and isinstance(error, AkkioUploadIncompleteError):
                raise AkkioError(f"{error} The dataset is deleted, so nothing is there twice.") from error
            raise

    def _tell_what_arrived(self, error: BaseException) -> None:
        """Say which rows of an append arrived, and fail for good if a later try could not know it."""
        upload, first = self._upload, self._upload.rows_arrived + 1
        is_in_doubt = self._in_flight > 0 and _may_have_acted(error)
        is_final = isinstance(error, AkkioUploadIncompleteError)
        if not (upload.rows_arrived or is_in_doubt or is_final):
            return
        said = (
            f"Of the file's {self._summary.row_count:,} rows, the first {upload.rows_arrived:,} are in dataset "
            f"{upload.dataset_id}, which had {upload.rows_before:,} before."
        )
        if is_in_doubt:
            said += f" Whether rows {first:,} to {upload.rows_arrived + self._in_flight:,} arrived is not known."
        if self._store is not None and not is_final:
            log.warning("%s A later try goes on there.", said)
            return
        raise AkkioUploadIncompleteError(
            f"{error} {said} To run or clear the task again adds all rows of the file, these once more."
        ) from error

    def _has_deleted(self, dataset_id: str) -> bool:
        try:
            self._client.run(self._datasets.delete(dataset_id))
        except AkkioError as error:
            log.warning("Dataset %s, which has not all rows, could not be deleted. %s", dataset_id, error)
            return False
        log.info("Dataset %s, which has not all rows, is deleted.", dataset_id)
        remove(self._context, KEY)
        return True

    def _keep(self) -> None:
        if self._store is not None:
            self._store.set(KEY, self._upload.to_entry())


def _may_have_acted(error: BaseException) -> bool:
    """Return whether Akkio may have acted on the request that an error ended."""
    if isinstance(error, AkkioUnavailableError):
        return error.outcome_is_unknown
    return not isinstance(error, AkkioRequestRejectedError)


def forget(context: Context) -> None:
    """Remove what was kept; as a callback on success, so that clearing a finished task uploads again.

    :param context: the task's context.
    """
    remove(context, KEY)


def forget_what_a_person_clears(context: Context) -> None:
    """Remove what was kept if the task failed with an error after which a person decides.

    :param context: the task's context, with its exception.
    """
    if isinstance(context.get("exception"), AkkioUploadIncompleteError):
        forget(context)
