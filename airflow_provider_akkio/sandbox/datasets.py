"""Datasets of the sandbox: built-in tables, CSV files of a folder, and tables uploaded over HTTP."""

from __future__ import annotations

import csv
import math
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

Cell = str | int | float | bool | None
FloatArray = NDArray[np.float64]

LEADS_ID = "YTV32jCdVf5DbcMxzvX5"

_MAX_DISTINCT_NUMBERS_IN_CATEGORY = 10
_MAX_DISTINCT_TEXTS_IN_CATEGORY = 50
_LARGEST_NUMBER = float(np.finfo(np.float32).max)


class FieldType(StrEnum):
    """Type of a field, as Akkio names it."""

    CATEGORY = "category"
    ID = "id"
    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    DATE = "date"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> FieldType | None:
        return cls.FLOAT if value == "number" else None

    @property
    def is_numeric(self) -> bool:
        """Whether cells are numbers."""
        return self in (FieldType.INTEGER, FieldType.FLOAT)

    @property
    def is_disabled(self) -> bool:
        """Whether a training ignores the field."""
        return self in (FieldType.ID, FieldType.UNKNOWN)


class NotFoundError(KeyError):
    """No dataset, task, model or result has this ID."""

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidUploadError(ValueError):
    """Uploaded rows or field types do not fit the dataset."""


class InvalidFolderError(ValueError):
    """A folder or one of its CSV files cannot be served as datasets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One version of a table.

    :param id: ID that a training names.
    :param name: display name.
    :param fields: column names; a training that names no field predicts the last one.
    :param rows: cells as text; an empty text is a missing value.
    :param types: field types that were set by a client or inferred by :meth:`parsed`.
    :param text_fields: fields with cells that were uploaded as text or booleans; without a type they are text, whatever
        the text looks like. The types of other fields are inferred from the cells.
    :param version: number of times that rows were appended.
    """

    id: str
    name: str
    fields: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    types: Mapping[str, FieldType] = field(default_factory=dict)
    text_fields: frozenset[str] = frozenset()
    version: int = 0

    def cells(self, name: str) -> list[str]:
        """Return one column."""
        index = self.fields.index(name)
        return [row[index] for row in self.rows]

    def field_type(self, name: str) -> FieldType:
        """Return the type of a field."""
        if name in self.types:
            return self.types[name]
        return FieldType.STRING if name in self.text_fields else infer_type(self.cells(name))

    def parsed(self) -> Dataset:
        """Return the dataset with the type of every field inferred from its cells."""
        return replace(self, types={name: infer_type(self.cells(name)) for name in self.fields})


class DatasetStore(Mapping[str, Dataset]):
    """Current version of every dataset by ID; looking up an unknown ID raises :class:`NotFoundError`.

    :param folder: folder whose CSV files are offered in addition to the built-in datasets; default none.
    :raises InvalidFolderError: if the folder or one of its files cannot be read, or a file has the ID of a
        built-in dataset.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._datasets = {dataset.id: dataset.parsed() for dataset in _built_in_datasets()}
        for dataset in read_folder(folder) if folder else ():
            if dataset.id in self._datasets:
                raise InvalidFolderError(f"{dataset.id!r} is the ID of a built-in dataset; rename the file.")
            self._datasets[dataset.id] = dataset.parsed()

    def __getitem__(self, dataset_id: str) -> Dataset:
        try:
            return self._datasets[dataset_id]
        except KeyError:
            raise NotFoundError(f"There is no dataset {dataset_id!r}.") from None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._datasets))

    def __len__(self) -> int:
        return len(self._datasets)

    def create(self, name: str) -> str:
        """Create an empty dataset and return its ID."""
        dataset_id = secrets.token_hex(10)
        self._datasets[dataset_id] = Dataset(id=dataset_id, name=name)
        return dataset_id

    def append(self, dataset_id: str, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Append all rows or none; the first row of an empty dataset defines its fields.

        :raises NotFoundError: if there is no such dataset.
        :raises InvalidUploadError: if a row has an unknown field, or the first row has no field.
        """
        with self._lock:
            dataset = self[dataset_id]
            if not rows:
                return
            fields = dataset.fields or tuple(rows[0])
            if not fields:
                raise InvalidUploadError("The first row defines the fields of the dataset and must not be empty.")
            for row in rows:
                _check_fields(row, fields)
            added = tuple(tuple(cell_text(row.get(name)) for name in fields) for row in rows)
            text_fields = {name for row in rows for name, value in row.items() if isinstance(value, str | bool)}
            self._datasets[dataset_id] = replace(
                dataset,
                fields=fields,
                rows=dataset.rows + added,
                text_fields=dataset.text_fields | text_fields,
                version=dataset.version + 1,
            )

    def set_types(self, dataset_id: str, types: Mapping[str, FieldType]) -> None:
        """Set the types of some fields.

        :raises NotFoundError: if there is no such dataset.
        :raises InvalidUploadError: if the dataset has no such field.
        """
        with self._lock:
            dataset = self[dataset_id]
            _check_fields(types, dataset.fields)
            self._datasets[dataset_id] = replace(dataset, types={**dataset.types, **types})

    def parse_fields(self, dataset_id: str) -> None:
        """Infer the types of all fields from the cells; raise :class:`NotFoundError` if there is no such dataset."""
        with self._lock:
            self._datasets[dataset_id] = self[dataset_id].parsed()

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset; raise :class:`NotFoundError` if there is no such dataset."""
        with self._lock:
            del self._datasets[self[dataset_id].id]


def _check_fields(names: Mapping[str, object], fields: tuple[str, ...]) -> None:
    for name in names:
        if name not in fields:
            raise InvalidUploadError(f"The dataset has no field {name!r}.")


def cell_text(value: Cell) -> str:
    """Return an uploaded value as text; ``None`` and blank text become an empty text."""
    return "" if value is None else str(value).strip()


def format_number(number: float) -> str:
    """Return a number as text, a whole one without ``.0``."""
    return repr(float(number)).removesuffix(".0")


def infer_type(cells: Sequence[str]) -> FieldType:
    """Return the type of a parsed field: numbers or dates with few distinct values are a category."""
    values = set(filter(None, cells))
    is_category = len(values) <= _MAX_DISTINCT_NUMBERS_IN_CATEGORY
    if are_numbers(values):
        if is_category or not is_continuous(numbers := parse_numbers(list(values))):
            return FieldType.CATEGORY
        return FieldType.FLOAT if np.nan_to_num(numbers % 1).any() else FieldType.INTEGER
    if not is_category and all(parse_date(value) is not None for value in values):
        return FieldType.DATE
    return FieldType.CATEGORY if len(values) <= _MAX_DISTINCT_TEXTS_IN_CATEGORY else FieldType.STRING


def are_numbers(cells: Iterable[str]) -> bool:
    """Return whether every cell is a number or missing."""
    return not any(cell and math.isnan(_parse_number(cell)) for cell in cells)


def parse_date(cell: str) -> float | None:
    """Return an ISO 8601 date or timestamp, by default in UTC, as seconds since 1970; ``None`` for other text."""
    try:
        moment = datetime.fromisoformat(cell)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def cast_cell(cell: str, field_type: FieldType) -> Cell:
    """Return a cell as a model sees it: a number, a date or a text; ``None`` if it is missing or invalid."""
    if field_type.is_numeric:
        number = float(parse_numbers([cell])[0])
        if math.isnan(number):
            return None
        if field_type is FieldType.INTEGER and number.is_integer():
            # A float has at most 17 exact digits.
            return int(cell) if cell.lstrip("+-").isdigit() else int(number)
        return number
    if field_type is FieldType.DATE and parse_date(cell) is None:
        return None
    return cell or None


def parse_numbers(cells: Sequence[str]) -> FloatArray:
    """Return the cells as numbers; NaN for a missing or invalid number, and for one that exceeds 32-bit floats."""
    numbers = np.array([_parse_number(cell) for cell in cells], dtype=np.float64)
    numbers[~(np.abs(numbers) <= _LARGEST_NUMBER)] = np.nan
    return numbers


def _parse_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def is_continuous(numbers: FloatArray) -> bool:
    """Return whether there are too many distinct numbers to treat each as a category."""
    return len(np.unique(numbers[~np.isnan(numbers)])) > _MAX_DISTINCT_NUMBERS_IN_CATEGORY


def read_folder(folder: Path) -> list[Dataset]:
    """Return the CSV files of a folder as datasets; the ID of each is its file name without the extension.

    :raises InvalidFolderError: if there is no such folder, it has no CSV file, or a file is not a table.
    """
    if not folder.is_dir():
        raise InvalidFolderError(f"{folder} is not a folder.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.is_file())
    if not paths:
        raise InvalidFolderError(f"{folder} contains no CSV file.")
    return [_read_csv(path) for path in paths]


def _read_csv(path: Path) -> Dataset:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [tuple(cell.strip() for cell in line) for line in csv.reader(file, strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFolderError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    names, *rows = [line for line in lines if any(line)] or [()]
    if not names or "" in names or len(set(names)) < len(names):
        raise InvalidFolderError(f"{path} must start with a line of distinct field names.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InvalidFolderError(f"{path} has {len(names)} fields, but row {number} has {len(row)} cells.")
    return Dataset(id=path.stem, name=path.stem, fields=names, rows=tuple(rows))


def _built_in_datasets() -> list[Dataset]:
    leads = generate_leads()
    cancer, wine, diabetes = load_breast_cancer(), load_wine(), load_diabetes(scaled=False)
    return [
        Dataset(
            id=LEADS_ID,
            name="Leads (synthetic)",
            fields=tuple(leads[0]),
            rows=tuple(tuple(lead.values()) for lead in leads),
        ),
        _from_sklearn("breast_cancer", "Breast cancer", cancer, "diagnosis", cancer.target_names[cancer.target]),
        _from_sklearn("wine", "Wine", wine, "cultivar", wine.target_names[wine.target]),
        _from_sklearn("diabetes", "Diabetes", diabetes, "progression", diabetes.target),
    ]


def _from_sklearn(dataset_id: str, name: str, bunch: Any, target: str, outcomes: NDArray[Any]) -> Dataset:
    rows = (
        (*(f"{number:.12g}" for number in numbers), str(outcome))
        for numbers, outcome in zip(bunch.data, outcomes, strict=True)
    )
    return Dataset(id=dataset_id, name=name, fields=(*map(str, bunch.feature_names), target), rows=tuple(rows))


_JOB_TITLES = {"Assistant": -1.0, "Analyst": -0.4, "Engineer": 0.0, "Manager": 0.6, "Director": 1.1, "Executive": 1.4}
_COMPANY_SIZES = ("1-10", "11-50", "51-200", "201-1000", "1000+", "")
_INDUSTRIES = ("Education", "Finance", "Health", "Manufacturing", "Retail", "Software")
_LOCATIONS = ("Asia", "Europe", "North America", "South America")


def generate_leads(count: int = 2000, seed: int = 13) -> list[dict[str, str]]:
    """Return synthetic sales leads with the fields from Akkio's Training page; about one in eight is positive."""
    random = Random(seed)  # noqa: S311 - sample data; the standard library guarantees the same sequence everywhere
    return [_generate_lead(random) for _ in range(count)]


def _generate_lead(random: Random) -> dict[str, str]:
    title = random.choice(list(_JOB_TITLES))
    years = random.randint(0, 30)
    webinars, papers, pages = random.randint(0, 6), random.randint(0, 8), random.randint(1, 40)
    days = random.randint(0, 90)
    opened = random.random()
    clicked = opened * random.random()
    answered = random.random() < 0.15 + 0.3 * opened
    interest = _JOB_TITLES[title] + 0.7 * (webinars - 3) + 0.4 * (papers - 4) + 0.06 * (pages - 20)
    interest += 3 * clicked + 0.8 * answered - 0.03 * days - 3.0 + random.gauss(0, 0.6)
    positive = random.random() < 1 / (1 + math.exp(-1.5 * interest))
    return {
        "Job Title": title,
        "Years of Experience": str(years),
        "Company Size": random.choices(_COMPANY_SIZES, weights=(5, 5, 4, 3, 2, 1))[0],
        "Industry": random.choice(_INDUSTRIES),
        "Location": random.choice(_LOCATIONS),
        "Webinars Attended": str(webinars),
        "Whitepapers Downloaded": str(papers),
        "Pages Visited": str(pages),
        "Days Since Last Visit": str(days),
        "Email Open Rate": str(round(opened, 2)),
        "Email Click Rate": str(round(clicked, 2)),
        "Responded to Survey": str(int(answered)),
        "Positive Lead": str(int(positive)),
    }
