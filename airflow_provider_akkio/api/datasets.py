"""Datasets: made, filled so that each row arrives exactly once, and deleted.

To add rows is not idempotent. So where it is not known whether Akkio acted on a request, the dataset's own number of
rows tells, before anything is sent again. Source: the legacy part of Akkio's API documentation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, TypeVar

from airflow_provider_akkio.api.http import Flow, Method, Sleep
from airflow_provider_akkio.api.polling import SUBMIT_TIMEOUT
from airflow_provider_akkio.api.requester import Requester, RetryPolicy
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.v1 import V1Api
from airflow_provider_akkio.exceptions import AkkioResponseError, AkkioUnavailableError, AkkioUploadIncompleteError

log = logging.getLogger(__name__)

Done = TypeVar("Done")

MAX_RETRIES = 5
SETTLING_PAUSES = (1.0, 3.0, 6.0)
"""Seconds between questions before a request that was in doubt counts as lost: it may be on its way for a while."""


class FieldType(StrEnum):
    """The types that Akkio gives to the fields of a dataset."""

    CATEGORY = "category"
    STRING = "string"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class DatasetField:
    """A field of a dataset.

    :param name: its name, case sensitive.
    :param type: its type as Akkio wrote it, usually one of :class:`FieldType`.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as Akkio describes it.

    :param id: what Akkio knows it by.
    :param name: what people know it by.
    :param rows: how many rows it has.
    :param fields: its fields, none before the first row.
    """

    id: str
    name: str
    rows: int
    fields: tuple[DatasetField, ...]

    @classmethod
    def from_json(cls, identifier: str, body: Mapping[str, Any]) -> Self:
        """Read an answer of ``GET /v1/datasets?id=…``; raise :class:`AkkioResponseError` without a row count."""
        rows, fields = body.get("rows"), body.get("fields")
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
            raise AkkioResponseError("Akkio's answer has no 'rows' that is a number.")
        entries = fields if isinstance(fields, list) else []
        described = [one for one in entries if isinstance(one, Mapping) and isinstance(one.get("name"), str)]
        return cls(
            identifier,
            str(body.get("name") or ""),
            rows,
            tuple(DatasetField(one["name"], str(one.get("type") or "")) for one in described),
        )


class DatasetApi(V1Api):
    """The conversations about an account's datasets.

    :param requester: puts the questions.
    """

    def __init__(self, requester: Requester) -> None:
        super().__init__(requester, "dataset")

    def get(self, dataset_id: str) -> Flow[Dataset]:
        """Return what Akkio says of a dataset.

        :param dataset_id: its id.
        :raises AkkioNotFoundError: if there is none.
        :raises AkkioUnavailableError: if no answer came for five minutes.
        """
        purpose = f"Dataset {printable(dataset_id)!r}"
        return self._read(self._get(dataset_id), purpose, lambda body: Dataset.from_json(dataset_id, body))

    def create(self, name: str) -> Flow[tuple[str, bool]]:
        """Make an empty dataset, and no second one where the answer to the first request is lost.

        :param name: its name.
        :return: its id; and whether that was in doubt for a while, as somebody else may have made it.
        :raises AkkioUploadIncompleteError: if more than one of that name came up meanwhile.
        :raises AkkioUnavailableError: if it could not be made.
        """
        before = {one.id for one in (yield from self.list()) if one.name == name}
        request = self._send(Method.POST, {"name": name})
        purpose = f"Creating dataset {printable(name)!r}"

        dataset_id, was_in_doubt = yield from self._once(
            lambda: self._ask(request, purpose, _dataset_id), lambda: self._new_since(before, name)
        )
        log.info("Created dataset %s, %s.", dataset_id, printable(name))
        return dataset_id, was_in_doubt

    def append(self, dataset_id: str, rows: Sequence[Mapping[str, Any]], already: int) -> Flow[bool]:
        """Add rows to a dataset exactly once.

        :param dataset_id: its id.
        :param rows: what to add, field name to value.
        :param already: how many rows it has, by which an unknown outcome is told.
        :return: whether it was in doubt for a while whether they arrived.
        :raises AkkioUploadIncompleteError: if the dataset has another number of rows than this can have brought about.
        :raises AkkioRequestRejectedError: if Akkio refuses the rows.
        :raises AkkioUnavailableError: if they could not be added; or, if its ``outcome_is_unknown``, may have been.
        """
        request = self._send(Method.POST, {"id": dataset_id, "rows": rows})
        purpose = f"Adding rows {already + 1:,} to {already + len(rows):,} to dataset {printable(dataset_id)!r}"

        _, was_in_doubt = yield from self._once(
            lambda: self._ask(request, purpose, lambda _: True),
            lambda: self.has_arrived(dataset_id, already, len(rows)),
        )
        return was_in_doubt

    def settled_count(self, dataset_id: str, expected: int) -> Flow[int]:
        """Return how many rows a dataset has; while they are fewer than expected, after requester again for ten seconds.

        :param dataset_id: its id.
        :param expected: how many it should have.
        """
        rows = (yield from self.get(dataset_id)).rows
        for seconds in SETTLING_PAUSES:
            if rows >= expected:
                break
            yield Sleep(seconds)
            rows = (yield from self.get(dataset_id)).rows
        return rows

    def set_types(self, dataset_id: str, types: Mapping[str, str]) -> Flow[None]:
        """Set the types of some fields.

        :param dataset_id: the dataset's id.
        :param types: field name to one of :class:`FieldType`.
        :raises AkkioRequestRejectedError: if Akkio refuses one.
        :raises AkkioUnavailableError: if no answer came for five minutes.
        """
        fields = [{"name": name, "type": str(type_)} for name, type_ in types.items()]
        request = self._send(Method.POST, {"id": dataset_id, "fields": fields})
        return self._read(request, f"Setting the field types of dataset {printable(dataset_id)!r}", lambda _: None)

    def _once(self, send: Callable[[], Flow[Done]], look: Callable[[], Flow[Done | None]]) -> Flow[tuple[Done, bool]]:
        """Have something done once: where it may have been, look for it before it is sent again.

        :param send: asks for it.
        :param look: returns what came of it, ``None`` if nothing did.
        :return: what came of it, and whether its outcome was unknown for a while.
        """
        clock = self._requester.clock
        doubt: AkkioUnavailableError | None = None
        patience = RetryPolicy(clock, clock() + SUBMIT_TIMEOUT, AkkioUnavailableError, MAX_RETRIES)
        try:
            for attempt in patience.attempts(_may_be_sent_again):
                yield from patience.pauses()
                with attempt:
                    found = None if doubt is None else (yield from _found_out(look(), doubt))
                    if found is not None:
                        return found, True
                    try:
                        done = yield from send()
                    except AkkioUnavailableError as error:
                        doubt = error if error.outcome_is_unknown else doubt
                        raise
        except AkkioUnavailableError as error:
            found = None if doubt is None or isinstance(error, _Undecided) else (yield from _found_out(look(), doubt))
            if found is None:
                raise
            return found, True
        return done, doubt is not None

    def has_arrived(self, dataset_id: str, already: int, count: int) -> Flow[bool | None]:
        """Find out whether rows arrived whose request had no answer.

        :param dataset_id: id of the dataset.
        :param already: how many rows it had before.
        :param count: how many were sent.
        :return: ``True``, or ``None`` if none of them did.
        :raises AkkioUploadIncompleteError: if its number of rows is neither.
        """
        rows = yield from self.settled_count(dataset_id, already + count)
        if rows == already + count:
            return True
        if rows == already:
            return None
        raise AkkioUploadIncompleteError(
            f"Whether {count:,} rows were added to dataset {printable(dataset_id)!r} is not known: no answer came, and it "
            f"has {rows:,} rows, neither the {already:,} from before nor {already + count:,}. Does something else add "
            "rows to it? They were not sent again, since they could then be there twice."
        )

    def _new_since(self, before: set[str], name: str) -> Flow[str | None]:
        for seconds in (*SETTLING_PAUSES, 0.0):
            new = [one.id for one in (yield from self.list()) if one.name == name and one.id not in before]
            if len(new) > 1:
                raise AkkioUploadIncompleteError(
                    f"Whether dataset {printable(name)!r} was created is not known: no answer came, and Akkio has "
                    f"{len(new)} new ones of that name ({printable(', '.join(new))}). Delete those that have no rows."
                )
            if new and (yield from self.get(new[0])).rows:
                raise AkkioUploadIncompleteError(
                    f"Whether dataset {printable(name)!r} was created is not known: no answer came, and the new one of "
                    f"that name, {printable(new[0])}, has rows of somebody else's."
                )
            if new:
                return new[0]
            yield Sleep(seconds)
        return None


class _Undecided(AkkioUnavailableError):
    """Whether Akkio acted on a request could not be found out."""


def _may_be_sent_again(error: BaseException) -> bool:
    return isinstance(error, AkkioUnavailableError) and not isinstance(error, _Undecided)


def _found_out(look: Flow[Done], doubt: AkkioUnavailableError) -> Flow[Done]:
    try:
        return (yield from look)
    except AkkioUnavailableError as error:
        raise _Undecided(f"{doubt} Whether Akkio acted on it could not be found out: {error}") from error


def _dataset_id(body: Mapping[str, Any]) -> str:
    identifier = body.get("dataset_id")
    if not isinstance(identifier, str) or not identifier or not identifier.isprintable():
        raise AkkioResponseError("Akkio's answer has no 'dataset_id'.")
    return identifier
