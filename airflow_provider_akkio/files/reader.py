"""Rows of a file: read in batches, and checked before the first of them leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.files.cells import Converter, Value
from airflow_provider_akkio.files.delimited import DelimitedSource
from airflow_provider_akkio.files.formats import FileKind, Format, kind_of
from airflow_provider_akkio.files.json_lines import JsonLinesSource
from airflow_provider_akkio.files.lines import Lines
from airflow_provider_akkio.files.sources import LARGEST, ReadablePath, Source, opened, refuse

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["RowBatch", "ReadablePath", "FileSummary", "RowFile", "Value"]

_TEXT_TYPES = frozenset({"category", "string"})
_TYPES = _TEXT_TYPES | {"number"}
_CHUNK = 500
_FIELD_OVERHEAD = 6
"""Characters that JSON puts around each cell: quotes, colon, comma."""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows of a file, one after the other.

    :param rows: the rows as they go to Akkio.
    :param cells: the same as the source has them, in the order of the fields: in CSV the text, in JSON Lines the
        scalars, in Parquet Python's values (and Arrow's scalars of times in nanoseconds, which Python cannot hold).
    """

    rows: list[dict[str, Value]]
    cells: list[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What is known of a file once all of it has been read.

    :param fields: the names of the fields.
    :param rows: how many rows there are.
    :param numbers: the fields of which each cell is a number or empty, and not all are empty.
    :param integers: those of them whose numbers are all integers that have 64 bits.
    :param digest: the SHA-256 of the file's bytes.
    """

    fields: tuple[str, ...]
    rows: int
    numbers: frozenset[str]
    integers: frozenset[str]
    digest: str


class RowFile:
    """A file of rows.

    :param path: where the file is; its ending says which format it has.
    :param types: Akkio's types of some fields: the cells of a ``category`` or a ``string`` are texts, even if they
        look like numbers; those of a ``number``, and of fields without a type, are what they look like.
    :raises AkkioParameterError: if the ending or a type is unknown.
    """

    def __init__(self, path: ReadablePath, types: Mapping[str, str] = {}) -> None:
        self.kind: FileKind = kind_of(path.name)
        self._path = path
        self.name = printable(str(path))
        self._types = dict(types)
        for field, type_ in types.items():
            if type_ not in _TYPES:
                raise AkkioParameterError(
                    f"The field '{printable(field)}' must have one of the types {', '.join(sorted(_TYPES))}, "
                    f"not {printable(repr(type_))}."
                )

    def inspect(self, *, finds_numbers: bool = True) -> FileSummary:
        """Read the whole file once, and check all of it.

        :param finds_numbers: look also for the fields that are numbers, which takes as long again; Parquet that is to
            be written needs them, and nothing else does.
        :raises AkkioSourceFileError: if it cannot be used; the message names the file and the line.
        """
        digest = hashlib.sha256()
        with self._source(digest) as source:
            wanted = source.fields if finds_numbers else ()
            kinds = _NumberKinds(source, (at for at, field in enumerate(wanted) if not self._is_text(field)))
            count = 0
            for group in _groups(source, _CHUNK):
                count += len(group)
                kinds.take(group)
            if not count:
                refuse(self.name, "the file has no rows")
            return FileSummary(source.fields, count, kinds.numbers(), kinds.integers(), digest.hexdigest())

    def batches(self, most_rows: int, skip: int = 0, expected: FileSummary | None = None) -> Iterator[RowBatch]:
        """Read the file, some rows at a time.

        A batch ends at ``most_rows`` rows, or before it would come to more than about 4 MiB of JSON. The same file is
        always cut at the same places, also after rows that were left out, if a batch ended there.

        :param most_rows: most rows of a batch.
        :param skip: how many rows to leave out at the beginning.
        :param expected: what an earlier inspection found; default that there was none.
        :raises AkkioSourceFileError: if the file cannot be used, or is not the one that is expected: other fields are
            seen before the first batch, other rows after the last.
        """
        digest = None if expected is None else hashlib.sha256()
        with self._source(digest) as source:
            if expected is not None and source.fields != expected.fields:
                refuse(self.name, "it has changed since it was checked")
            converters = [
                source.text_converter(at) if self._is_text(field) else source.converter(at)
                for at, field in enumerate(source.fields)
            ]
            for group in _groups(source, most_rows, skip):
                yield RowBatch(_converted(source.fields, converters, group), group)
            if expected is not None and digest is not None and digest.hexdigest() != expected.digest:
                refuse(self.name, "it has changed since it was checked")

    def arrow_schema(self) -> Any:
        """Return the Arrow schema of a Parquet file; ``None`` for other formats.

        :raises AkkioSourceFileError: if the file cannot be used.
        """
        with self._source() as source:
            return source.schema

    def _is_text(self, field: str) -> bool:
        return self._types.get(field) in _TEXT_TYPES

    @contextmanager
    def _source(self, digest: _Hash | None = None) -> Iterator[Source]:
        with opened(self._path, self.name) as file:
            source = _OPENERS[self.kind.format](self.name, file, self.kind, digest)
            for field in self._types:
                if field not in source.fields:
                    there = printable(", ".join(source.fields))
                    refuse(self.name, f"there is no field '{printable(field)}'; the fields are {there}")
            yield source


class _NumberKinds:
    """Which fields have nothing but numbers, as far as rows were seen."""

    def __init__(self, source: Source, positions: Iterator[int]) -> None:
        self._source = source
        self._candidates = dict.fromkeys(positions, True)
        self._seen: set[int] = set()

    def take(self, group: Sequence[Sequence[Any]]) -> None:
        """Look at more rows; a field that had a text is looked at no more."""
        if not self._candidates:
            return
        columns = list(zip(*group, strict=True))
        for position in list(self._candidates):
            numbers = self._source.numbers(position, columns[position])
            if numbers is None:
                del self._candidates[position]
                continue
            types = set(map(type, numbers))
            if types != {type(None)}:
                self._seen.add(position)
            if float in types or (int in types and not _have_64_bits(numbers)):
                self._candidates[position] = False

    def numbers(self) -> frozenset[str]:
        """Return the fields whose cells are numbers or empty, at least one a number."""
        return frozenset(self._source.fields[position] for position in self._seen & self._candidates.keys())

    def integers(self) -> frozenset[str]:
        """Return those whose numbers are integers."""
        integers = {position for position, is_integer in self._candidates.items() if is_integer}
        return frozenset(self._source.fields[position] for position in self._seen & integers)


def _have_64_bits(numbers: Sequence[Any]) -> bool:
    present = [number for number in numbers if number is not None] if None in numbers else numbers

    return bool(min(present) >= -(2**63) and max(present) < 2**63)


def _groups(source: Source, most_rows: int, skip: int = 0) -> Iterator[list[Sequence[Any]]]:
    names = sum(map(len, source.fields)) + _FIELD_OVERHEAD * len(source.fields)
    group: list[Sequence[Any]] = []
    weight = 0
    for row, size in islice(source.rows(), skip, None):
        weight += names + size
        if len(group) == most_rows or (weight > LARGEST and group):
            yield group
            group = []
            weight = names + size
        group.append(row)
    if group:
        yield group


def _converted(
    fields: Sequence[str], converters: Sequence[Converter], group: list[Sequence[Any]]
) -> list[dict[str, Value]]:
    columns = zip(*group, strict=True)
    values = [convert(column) for convert, column in zip(converters, columns, strict=True)]
    return [dict(zip(fields, row, strict=True)) for row in zip(*values, strict=True)]


def _open_csv(name: str, file: BinaryIO, kind: FileKind, digest: _Hash | None) -> Source:
    return DelimitedSource(name, Lines(file, name, is_gzipped=kind.is_gzipped, digest=digest))


def _open_json_lines(name: str, file: BinaryIO, kind: FileKind, digest: _Hash | None) -> Source:
    return JsonLinesSource(name, Lines(file, name, is_gzipped=kind.is_gzipped, digest=digest))


def _open_parquet(name: str, file: BinaryIO, _kind: FileKind, digest: _Hash | None) -> Source:
    from airflow_provider_akkio.files.parquet import ParquetSource

    return ParquetSource(name, file, digest)


_OPENERS: dict[Format, Callable[[str, BinaryIO, FileKind, _Hash | None], Source]] = {
    Format.CSV: _open_csv,
    Format.JSON_LINES: _open_json_lines,
    Format.PARQUET: _open_parquet,
}
