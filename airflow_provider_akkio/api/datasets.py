"""Datasets: create, fill, describe and delete them.

Appending rows is not idempotent. If the outcome of a request is unknown, the flow compares the number of rows in the
dataset before it sends them again. Source: v1 in Akkio's API documentation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from airflow_provider_akkio.api.http import Flow, Method, Sleep
from airflow_provider_akkio.api.requester import MAX_SUBMIT_RETRY_SECONDS, Requester, RetryPolicy
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import FieldType, required_id
from airflow_provider_akkio.api.v1 import ROWS_TIMEOUT, V1Api
from airflow_provider_akkio.exceptions import AkkioResponseError, AkkioUnavailableError, AkkioUploadIncompleteError

log = logging.getLogger(__name__)

Created = TypeVar("Created")

MAX_RETRIES = 5
SETTLING_PAUSES = (1.0, 3.0, 6.0)
"""Seconds between the checks for a request with an unknown outcome: Akkio may still be executing it."""


@dataclass(frozen=True, slots=True)
class DatasetField:
    """A field of a dataset; the type is as Akkio sent it, usually a :class:`~.types.FieldType`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as Akkio describes it; ``fields`` is empty before the first row."""

    id: str
    name: str
    rows: int
    fields: tuple[DatasetField, ...]

    @classmethod
    def from_json(cls, dataset_id: str, body: Mapping[str, Any]) -> Self:
        """Parse the body of ``GET /v1/datasets?id=…``; ignore invalid fields.

        :raises AkkioResponseError: if the number of rows is missing or invalid.
        """
        rows, fields = body.get("rows"), body.get("fields")
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
            raise AkkioResponseError("Akkio's response has no valid 'rows'.")
        entries = fields if isinstance(fields, list) else []
        return cls(
            dataset_id,
            str(body.get("name") or ""),
            rows,
            tuple(
                DatasetField(entry["name"], str(entry.get("type") or ""))
                for entry in entries
                if isinstance(entry, Mapping) and isinstance(entry.get("name"), str)
            ),
        )


class DatasetApi(V1Api):
    """The operations on an account's datasets."""

    def __init__(self, requester: Requester) -> None:
        super().__init__(requester, "dataset")

    def get(self, dataset_id: str) -> Flow[Dataset]:
        """Return a dataset's name, number of rows and fields.

        :raises AkkioNotFoundError: if it does not exist.
        """
        purpose = f"Dataset {printable(dataset_id)!r}"
        request = self._get_request(dataset_id)
        return self._send_and_retry(request, purpose, lambda body: Dataset.from_json(dataset_id, body))

    def create(self, name: str) -> Flow[tuple[str, bool]]:
        """Create one empty dataset, even if a response is lost.

        :return: its ID, and whether the outcome of a request was unknown for a while.
        :raises AkkioUploadIncompleteError: if another program may have created the dataset that was found.
        """
        existing = {entry.id for entry in (yield from self.list()) if entry.name == name}
        request = self._change_request(Method.POST, {"name": name})
        purpose = f"Creating dataset {printable(name)!r}"

        dataset_id, was_uncertain = yield from self._exactly_once(
            send=lambda: self._send(request, purpose, lambda body: required_id(body, "dataset_id")),
            find=lambda: self._created_since(existing, name),
        )
        log.info("Created dataset %s (%s)", dataset_id, printable(name))
        return dataset_id, was_uncertain

    def append(self, dataset_id: str, rows: Sequence[Mapping[str, Any]], rows_before: int) -> Flow[bool]:
        """Append rows to a dataset exactly once, in one request.

        :param rows_before: number of rows in the dataset, to check an unknown outcome.
        :return: whether the outcome of a request was unknown for a while.
        :raises AkkioUploadIncompleteError: if the number of rows in the dataset fits neither outcome.
        :raises AkkioUnavailableError: if the rows were not added or, with ``outcome_is_unknown``, may have been added.
        """
        request = self._change_request(Method.POST, {"id": dataset_id, "rows": rows}, ROWS_TIMEOUT)
        first, last = rows_before + 1, rows_before + len(rows)
        purpose = f"Adding rows {first:,} to {last:,} to dataset {printable(dataset_id)!r}"

        _, was_uncertain = yield from self._exactly_once(
            send=lambda: self._send(request, purpose, lambda _: True),
            find=lambda: self.rows_arrived(dataset_id, rows_before, len(rows)),
        )
        return was_uncertain

    def rows_arrived(self, dataset_id: str, rows_before: int, row_count: int) -> Flow[bool]:
        """Return whether rows were added by a request with an unknown outcome.

        :param rows_before: number of rows in the dataset before the request.
        :param row_count: number of rows in the request.
        :raises AkkioUploadIncompleteError: if the number of rows in the dataset fits neither outcome.
        """
        expected = rows_before + row_count
        rows = yield from self.wait_for_row_count(dataset_id, expected)
        if rows not in (rows_before, expected):
            raise AkkioUploadIncompleteError(
                f"It is unknown whether {row_count:,} rows were added to dataset {printable(dataset_id)!r}: the "
                f"response was lost, and the dataset has {rows:,} rows instead of {rows_before:,} or {expected:,}. "
                "Another program may have added rows. They were not sent again, which could add them twice. Compare "
                "the dataset with the source, or upload to a new dataset."
            )
        return rows == expected

    def wait_for_row_count(self, dataset_id: str, expected: int) -> Flow[int]:
        """Return the number of rows in a dataset; while it is below ``expected``, check again for ten seconds."""
        rows = (yield from self.get(dataset_id)).rows
        for seconds in SETTLING_PAUSES:
            if rows >= expected:
                break
            yield Sleep(seconds)
            rows = (yield from self.get(dataset_id)).rows
        return rows

    def parse_fields(self, dataset_id: str) -> Flow[None]:
        """Let Akkio infer the types of all fields from the rows that are in the dataset."""
        request = self._change_request(Method.POST, {"id": dataset_id, "parse_fields": True}, ROWS_TIMEOUT)
        purpose = f"Inferring the field types of dataset {printable(dataset_id)!r}"
        return self._send_and_retry(request, purpose, lambda _: None)

    def set_field_types(self, dataset_id: str, field_types: Mapping[str, FieldType]) -> Flow[None]:
        """Set the types of some fields.

        :param field_types: field name → type.
        """
        fields = [{"name": name, "type": str(type_), "valid": True} for name, type_ in field_types.items()]
        request = self._change_request(Method.POST, {"id": dataset_id, "fields": fields})
        purpose = f"Setting the field types of dataset {printable(dataset_id)!r}"
        return self._send_and_retry(request, purpose, lambda _: None)

    def _exactly_once(
        self, send: Callable[[], Flow[Created]], find: Callable[[], Flow[Created | None]]
    ) -> Flow[tuple[Created, bool]]:
        """Send a request that must not be executed twice; after an unknown outcome, find its effect before a retry.

        :param send: sends the request.
        :param find: returns the effect of the request, or a false value if it had no effect.
        :return: the effect, and whether an outcome was unknown.
        """
        uncertain: AkkioUnavailableError | None = None

        def find_or_send() -> Flow[Created]:
            nonlocal uncertain
            if uncertain is not None and (found := (yield from _find(find, uncertain))):
                return found
            try:
                return (yield from send())
            except AkkioUnavailableError as error:
                if error.outcome_is_unknown:
                    uncertain = error
                raise

        policy = RetryPolicy(self._requester.clock() + MAX_SUBMIT_RETRY_SECONDS, 1 + MAX_RETRIES)
        try:
            effect = yield from self._requester.retry(
                find_or_send, policy, may_retry=lambda error: not isinstance(error, _FindError)
            )
        except _FindError:
            raise
        except AkkioUnavailableError:
            if uncertain is None or not (found := (yield from _find(find, uncertain))):
                raise
            effect = found
        return effect, uncertain is not None

    def _created_since(self, existing: set[str], name: str) -> Flow[str | None]:
        for seconds in (0.0, *SETTLING_PAUSES):
            yield Sleep(seconds)
            named = {entry.id for entry in (yield from self.list()) if entry.name == name}
            created = sorted(named - existing)
            if not created:
                continue
            if len(created) > 1 or (yield from self.get(created[0])).rows:
                raise AkkioUploadIncompleteError(
                    f"It is unknown whether this task created dataset {printable(name)!r}: the response was lost, and "
                    f"another program has created datasets with that name ({printable(', '.join(created))}). Delete "
                    "the empty ones, then clear this task."
                )
            return created[0]
        return None


class _FindError(AkkioUnavailableError):
    """Akkio is unavailable, so that the outcome of an earlier request remains unknown."""


def _find(find: Callable[[], Flow[Created]], uncertain: AkkioUnavailableError) -> Flow[Created]:
    try:
        return (yield from find())
    except AkkioUnavailableError as error:
        raise _FindError(f"{uncertain} It is unknown whether Akkio executed the request: {error}") from error
