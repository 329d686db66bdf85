"""Rows written again, with Akkio's predictions beside them."""

from __future__ import annotations

import csv
import gzip
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self

from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.exceptions import AkkioMalformedAnswer
from airflow_provider_akkio.tables.formats import FileKind, Format
from airflow_provider_akkio.tables.predictions import flat, json_of
from airflow_provider_akkio.tables.reading import Batch, Summary, Table
from airflow_provider_akkio.tables.sources import refuse


class RowWriter(ABC):
    """Writes rows and their predictions; the first batch says which columns the predictions have.

    As a context manager it finishes the format at the end; the file is left open, and is its owner's to close.

    :param table: where the rows come from.
    :param summary: what is known of them.
    """

    def __init__(self, table: Table, summary: Summary) -> None:
        self._source_name = table.name
        self._fields = summary.fields
        self._keys: tuple[str, ...] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def write(self, batch: Batch, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Write some rows.

        :param batch: the rows.
        :param predictions: as many predictions, in the same order.
        :raises AkkioUnusableSource: if the names of the predictions cannot be told from the fields of the rows.
        :raises AkkioMalformedAnswer: if a prediction has a key that the first batch did not have.
        """
        keys = self._keys
        if keys is None:
            keys = tuple(dict.fromkeys(key for prediction in predictions for key in prediction))
            self._begin(self._names(keys), self._predicted(keys, predictions))
            self._keys = keys
        self._write(batch, self._predicted(keys, predictions))

    def close(self) -> None:
        """Finish the format; the file stays open."""
        if self._keys is None:
            self._keys = ()
            self._begin(self._fields, [])
        self._finish()

    @abstractmethod
    def _begin(self, names: tuple[str, ...], predicted: list[list[Any]]) -> None:
        """Write what comes before the rows.

        :param names: the names of all columns.
        :param predicted: the values that the first batch's predictions have, row by row.
        """

    @abstractmethod
    def _write(self, batch: Batch, predicted: list[list[Any]]) -> None:
        """Write some rows.

        :param batch: the rows.
        :param predicted: the values that their predictions have, row by row.
        """

    @abstractmethod
    def _finish(self) -> None:
        """Write what comes after the rows."""

    def _names(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        taken = {*self._fields, *keys}
        names = list(self._fields)
        for key in keys:
            name = f"{key} (predicted)" if key in self._fields else key
            if name != key and name in taken:
                refuse(
                    self._source_name,
                    f"the prediction '{quoted(key)}' has nowhere to go, since '{quoted(key)}' and '{quoted(name)}' "
                    "are both taken",
                )
            names.append(name)
        return tuple(names)

    def _predicted(self, keys: tuple[str, ...], predictions: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        known = frozenset(keys)
        for prediction in predictions:
            if not known.issuperset(prediction):
                new = next(key for key in prediction if key not in known)
                raise AkkioMalformedAnswer(
                    f"Akkio's predictions suddenly have '{quoted(new)}', which those of the first rows did not have."
                )
        return [list(map(prediction.get, keys)) for prediction in predictions]


class _TextWriter(RowWriter):
    """Writes lines of text, compressed if that was asked for."""

    def __init__(self, file: BinaryIO, kind: FileKind, table: Table, summary: Summary) -> None:
        super().__init__(table, summary)
        # Without a time and a name in it, the same rows always make the same bytes.
        self._gzip = gzip.GzipFile("", "wb", 6, file, mtime=0) if kind.is_gzipped else None
        self._file = self._gzip or file
        self._is_as_in_source = kind.format is table.kind.format

    def _cells(self, batch: Batch) -> Iterator[Sequence[Any]]:
        return iter(batch.cells) if self._is_as_in_source else (tuple(row.values()) for row in batch.rows)

    def _write_lines(self, lines: Sequence[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))

    def _finish(self) -> None:
        if self._gzip is not None:
            self._gzip.close()


class _DelimitedWriter(_TextWriter):
    """Writes CSV."""

    def _begin(self, names: tuple[str, ...], predicted: list[list[Any]]) -> None:  # noqa: ARG002
        self._write_rows([names])

    def _write(self, batch: Batch, predicted: list[list[Any]]) -> None:
        pairs = zip(self._cells(batch), predicted, strict=True)
        self._write_rows([[*cells, *map(flat, values)] for cells, values in pairs])

    def _write_rows(self, rows: Sequence[Sequence[Any]]) -> None:
        lines = _LinesOfCsv()
        # csv quotes a carriage return only if the line ends have one.
        csv.writer(lines, lineterminator="\r\n").writerows(rows)
        self._write_lines(lines.lines)


class _LinesOfCsv:
    """Takes lines from :mod:`csv`, without their ends."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        """Take one line."""
        self.lines.append(line[:-2])


class _JsonLinesWriter(_TextWriter):
    """Writes JSON Lines."""

    def _begin(self, names: tuple[str, ...], predicted: list[list[Any]]) -> None:  # noqa: ARG002
        self._names_of_columns = names

    def _write(self, batch: Batch, predicted: list[list[Any]]) -> None:
        names = self._names_of_columns
        pairs = zip(self._cells(batch), predicted, strict=True)
        self._write_lines([json_of(dict(zip(names, (*cells, *values), strict=True))) for cells, values in pairs])


def writer_for(file: BinaryIO, kind: FileKind, table: Table, summary: Summary) -> RowWriter:
    """Return what writes the rows of a table to a file.

    Each column keeps what the source has where the kinds agree; elsewhere it has what went to Akkio.

    :param file: an open file, to write bytes to.
    :param kind: what it is to become.
    :param table: where the rows come from.
    :param summary: what its inspection found.
    :raises AkkioUnusableSource: if it is to become Parquet, and what that needs is not installed.
    """
    if kind.format is Format.PARQUET:
        from airflow_provider_akkio.tables.parquet_writing import ParquetRowWriter

        return ParquetRowWriter(file, table, summary)
    writer = _DelimitedWriter if kind.format is Format.CSV else _JsonLinesWriter
    return writer(file, kind, table, summary)
