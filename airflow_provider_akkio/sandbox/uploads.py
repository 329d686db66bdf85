"""The datasets of a running sandbox: those that it begins with, and those that are made and filled over HTTP."""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_akkio.sandbox.columns import is_continuous, parse_numbers, show
from airflow_provider_akkio.sandbox.datasets import Dataset

CellValue = str | int | float | bool | None

_ID_CHARACTERS = string.ascii_letters + string.digits
_ID_LENGTH = 20
_MOST_CATEGORIES = 50
_EXACT = 1e15
_ROWS_TO_TELL_TYPES_BY = 10_000


class FieldType(StrEnum):
    """The types that Akkio gives to fields."""

    CATEGORY = "category"
    STRING = "string"
    NUMBER = "number"


class UnknownDatasetError(LookupError):
    """No dataset has this id."""


class UnusableRowsError(ValueError):
    """Rows or types do not fit a dataset; the message tells a person why."""


@dataclass(slots=True)
class _Growing:
    """A dataset that can grow.

    :param rows: its cells as text; a training has a snapshot of them.
    :param types: the types that somebody set.
    :param version: how often it was changed.
    """

    id: str
    name: str
    fields: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    types: dict[str, FieldType] = field(default_factory=dict)
    version: int = 0
    snapshot: Dataset | None = None


class DatasetStore(Mapping[str, Dataset]):
    """Datasets by id, each as it is at the moment.

    :param datasets: those to begin with.
    """

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self._lock = threading.Lock()
        self._datasets = {
            one.id: _Growing(one.id, one.name, one.fields, list(one.rows), snapshot=one) for one in datasets.values()
        }

    def __getitem__(self, dataset_id: str) -> Dataset:
        with self._lock:
            growing = self._datasets[dataset_id]
            if growing.snapshot is None:
                growing.snapshot = Dataset(
                    id=growing.id,
                    name=growing.name,
                    fields=growing.fields,
                    rows=tuple(growing.rows),
                    version=growing.version,
                )
            return growing.snapshot

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._datasets))

    def __len__(self) -> int:
        return len(self._datasets)

    def names(self) -> list[tuple[str, str]]:
        """Return the id and name of each."""
        return [(one.id, one.name) for one in list(self._datasets.values())]

    def describe(self, dataset_id: str) -> tuple[str, int, list[tuple[str, FieldType]]]:
        """Return a dataset's name, number of rows, and fields with their types.

        :raises UnknownDatasetError: if there is none of that id.
        """
        with self._lock:
            growing = self._find(dataset_id)
            fields, count, types = growing.fields, len(growing.rows), dict(growing.types)
            some = growing.rows[:_ROWS_TO_TELL_TYPES_BY]
        columns = zip(*some, strict=True) if some else ((),) * len(fields)
        described = [(name, types.get(name) or _type_of(cells)) for name, cells in zip(fields, columns, strict=True)]
        return growing.name, count, described

    def create(self, name: str) -> str:
        """Make an empty dataset, and return its id."""
        dataset_id = "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))
        self._datasets[dataset_id] = _Growing(dataset_id, name)
        return dataset_id

    def append(self, dataset_id: str, rows: Sequence[Mapping[str, CellValue]]) -> None:
        """Add rows, all or none; the first row of all says which fields there are.

        :raises UnknownDatasetError: if there is none of that id.
        :raises UnusableRowsError: if a row has a field that the dataset does not have, or the first row has none.
        """
        with self._lock:
            growing = self._find(dataset_id)
            if not rows:
                return
            fields = growing.fields or tuple(rows[0])
            if not fields:
                raise UnusableRowsError("The first row says which fields the dataset has, and has none.")
            known = set(fields)
            for row in rows:
                if unknown := [name for name in row if name not in known]:
                    raise UnusableRowsError(f"The dataset has no field {unknown[0]!r}.")
            growing.fields = fields
            growing.rows.extend(tuple(cell_text(row.get(name)) for name in fields) for row in rows)
            _has_changed(growing)

    def set_types(self, dataset_id: str, types: Mapping[str, FieldType]) -> None:
        """Set the types of some fields.

        :raises UnknownDatasetError: if there is none of that id.
        :raises UnusableRowsError: if it has no such field.
        """
        with self._lock:
            growing = self._find(dataset_id)
            if unknown := [name for name in types if name not in growing.fields]:
                raise UnusableRowsError(f"The dataset has no field {unknown[0]!r}.")
            _set_types(growing, {**growing.types, **types})

    def forget_types(self, dataset_id: str) -> None:
        """Let all types follow from the cells again; raise :class:`UnknownDatasetError` if there is no such dataset."""
        with self._lock:
            _set_types(self._find(dataset_id), {})

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset; raise :class:`UnknownDatasetError` if there is none of that id."""
        with self._lock:
            del self._datasets[self._find(dataset_id).id]

    def _find(self, dataset_id: str) -> _Growing:
        try:
            return self._datasets[dataset_id]
        except KeyError:
            raise UnknownDatasetError(f"There is no dataset {dataset_id!r}.") from None


def cell_text(value: CellValue) -> str:
    """Return a value as a dataset keeps it: a text, empty where it is missing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return show(value) if abs(value) < _EXACT else repr(value)
    return str(value).strip()


def _set_types(growing: _Growing, types: dict[str, FieldType]) -> None:
    # What changes nothing must not make the next training another one.
    if types != growing.types:
        growing.types = types
        _has_changed(growing)


def _has_changed(growing: _Growing) -> None:
    growing.version += 1
    growing.snapshot = None


def _type_of(cells: Sequence[str]) -> FieldType:
    numbers = parse_numbers(cells)
    if numbers is not None:
        return FieldType.NUMBER if is_continuous(numbers) else FieldType.CATEGORY
    return FieldType.CATEGORY if len(set(cells)) <= _MOST_CATEGORIES else FieldType.STRING
