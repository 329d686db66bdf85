"""Rows written again, with Akkio's predictions beside them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from airflow_provider_akkio.files.formats import FileKind, Format
from airflow_provider_akkio.files.predictions import flat, json_of
from airflow_provider_akkio.files.reader import FileSummary, RowBatch, RowFile
from airflow_provider_akkio.files.row_writer import RowWriter


class _TextWriter(RowWriter):
    """Writes lines of text, compressed if that was asked for."""

    def __init__(self, file: BinaryIO, kind: FileKind, table: RowFile, summary: FileSummary) -> None:
        super().__init__(table, summary)
        # Without a time and a name in it, the same rows always make the same bytes.
        self._gzip = gzip.GzipFile("", "wb", 6, file, mtime=0) if kind.is_gzipped else None
        self._file = self._gzip or file
        self._is_as_in_source = kind.format is table.kind.format

    def _cells(self, batch: RowBatch) -> Iterator[Sequence[Any]]:
        return iter(batch.cells) if self._is_as_in_source else (tuple(row.values()) for row in batch.rows)

    def _write_lines(self, lines: Sequence[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))

    def _finish(self) -> None:
        if self._gzip is not None:
            self._gzip.close()


class _DelimitedWriter(_TextWriter):
    """Writes CSV."""

    def _begin(self, names: tuple[str, ...], predicted: list[list[Any]]) -> None:  # noqa: ARG002 - text has no types
        self._write_rows([names])

    def _write(self, batch: RowBatch, predicted: list[list[Any]]) -> None:
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

    def _begin(self, names: tuple[str, ...], predicted: list[list[Any]]) -> None:  # noqa: ARG002 - text has no types
        self._names_of_columns = names

    def _write(self, batch: RowBatch, predicted: list[list[Any]]) -> None:
        names = self._names_of_columns
        pairs = zip(self._cells(batch), predicted, strict=True)
        self._write_lines([json_of(dict(zip(names, (*cells, *values), strict=True))) for cells, values in pairs])


def writer_for(file: BinaryIO, kind: FileKind, table: RowFile, summary: FileSummary) -> RowWriter:
    """Return what writes the rows of a table to a file.

    Each column keeps what the source has where the kinds agree; elsewhere it has what went to Akkio.

    :param file: an open file, to write bytes to.
    :param kind: what it is to become.
    :param table: where the rows come from.
    :param summary: what its inspection found.
    :raises AkkioSourceFileError: if it is to become Parquet, and what that needs is not installed.
    """
    if kind.format is Format.PARQUET:
        from airflow_provider_akkio.files.parquet_writing import ParquetRowWriter

        return ParquetRowWriter(file, table, summary)
    writer = _DelimitedWriter if kind.format is Format.CSV else _JsonLinesWriter
    return writer(file, kind, table, summary)
