"""The tables that the sandbox can train on: those that come with it, and the CSV files of a folder."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_akkio.sandbox.leads import LEADS_FIELDS, generate_leads

LEADS_ID = "YTV32jCdVf5DbcMxzvX5"


class UnusableDataError(ValueError):
    """A folder or file of data cannot be served; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A table as it was uploaded.

    :param id: what a training names it by.
    :param name: what a person reads.
    :param fields: the columns' names; the last one is predicted when a training names none.
    :param rows: the cells as text, an empty text where a value is missing.
    :param version: how often it was changed since it was made.
    """

    id: str
    name: str
    fields: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = field(repr=False)
    version: int = 0

    def cells(self, name: str) -> list[str]:
        """Return one column; raise :class:`ValueError` if there is none of that name."""
        index = self.fields.index(name)
        return [row[index] for row in self.rows]


def collect_datasets(folder: Path | None = None) -> dict[str, Dataset]:
    """Return everything that the sandbox offers, by id.

    :param folder: a folder whose CSV files are offered too; default none.
    :raises UnusableDataError: if the folder or one of its files cannot be read, or takes an id that is taken.
    """
    offered = {dataset.id: dataset for dataset in built_in_datasets()}
    for dataset in read_folder(folder) if folder else ():
        if dataset.id in offered:
            raise UnusableDataError(
                f"{dataset.id!r} is the id of a dataset that comes with the sandbox; rename the file."
            )
        offered[dataset.id] = dataset
    return offered


def built_in_datasets() -> list[Dataset]:
    """Return the generated leads, and the breast cancer, wine and diabetes data that scikit-learn ships."""
    from sklearn import datasets as shipped

    cancer, wine, diabetes = shipped.load_breast_cancer(), shipped.load_wine(), shipped.load_diabetes(scaled=False)
    return [
        Dataset(id=LEADS_ID, name="Leads (synthetic)", fields=LEADS_FIELDS, rows=generate_leads()),
        _shipped("breast_cancer", "Breast cancer", cancer, "diagnosis", _names(cancer)),
        _shipped("wine", "Wine", wine, "cultivar", _names(wine)),
        _shipped("diabetes", "Diabetes", diabetes, "progression", diabetes.target.tolist()),
    ]


def read_folder(folder: Path) -> list[Dataset]:
    """Return the CSV files of a folder as datasets, each under the name of its file.

    :param folder: holds the files; folders in it are not searched.
    :raises UnusableDataError: if it is no folder, holds no CSV file, or one of them is no table.
    """
    if not folder.is_dir():
        raise UnusableDataError(f"{folder} is not a folder.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.is_file())
    if not paths:
        raise UnusableDataError(f"{folder} holds no CSV file.")
    return [_read_csv(path) for path in paths]


def _read_csv(path: Path) -> Dataset:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [tuple(cell.strip() for cell in line) for line in csv.reader(file, strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableDataError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    lines = [line for line in lines if any(line)]
    if not lines:
        raise UnusableDataError(f"{path} is empty.")
    names, rows = lines[0], lines[1:]
    if "" in names or len(set(names)) < len(names):
        raise UnusableDataError(f"{path} must begin with a line of different field names.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise UnusableDataError(f"{path} has {len(names)} fields, but its row {number} has {len(row)} cells.")
    return Dataset(id=path.stem, name=path.stem, fields=names, rows=tuple(rows))


def _names(bunch: Any) -> list[str]:
    return [str(bunch.target_names[number]) for number in bunch.target]


def _shipped(identifier: str, name: str, bunch: Any, target: str, outcomes: Sequence[object]) -> Dataset:
    rows = tuple(
        (*_texts(numbers), str(outcome)) for numbers, outcome in zip(bunch.data.tolist(), outcomes, strict=True)
    )
    return Dataset(id=identifier, name=name, fields=(*map(str, bunch.feature_names), target), rows=rows)


def _texts(numbers: Iterable[float]) -> list[str]:
    return [format(number, ".12g") for number in numbers]
