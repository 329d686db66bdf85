"""Rows and predictions written to Parquet, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from airflow_provider_akkio.exceptions import AkkioResponseError
from airflow_provider_akkio.files.cells import text_of
from airflow_provider_akkio.files.parquet import parquet_module
from airflow_provider_akkio.files.predictions import flat, is_number
from airflow_provider_akkio.files.reader import FileSummary, RowBatch, RowFile
from airflow_provider_akkio.files.row_writer import RowWriter

_ROWS_OF_A_GROUP = 10_000
_BYTES_OF_A_GROUP = 8 * 1024 * 1024


class ParquetRowWriter(RowWriter):
    """Writes Parquet: the source's own types if it is Parquet too, else integers, doubles and texts.

    :param file: an open file, to write bytes to.
    :param table: where the rows come from.
    :param summary: what its inspection found.
    :raises AkkioSourceFileError: if pyarrow is not installed.
    """

    def __init__(self, file: BinaryIO, table: RowFile, summary: FileSummary) -> None:
        super().__init__(table, summary)
        self._parquet = parquet_module(table.name)
        self._file = file
        self._source_schema = table.arrow_schema()
        self._source_types = self._types_of_source(summary)
        self._pending: list[Any] = []

    def _begin(self, names: tuple[str, ...], predicted: list[list[Any]]) -> None:
        import pyarrow

        columns = zip(*predicted, strict=True) if predicted else ()
        types = [*self._source_types, *map(_type_of_predictions, columns)]
        self._schema = pyarrow.schema(list(zip(names, types, strict=True)))
        self._writer = self._parquet.ParquetWriter(self._file, self._schema)

    def _write(self, batch: RowBatch, predicted: list[list[Any]]) -> None:
        import pyarrow

        arrays = [*self._source_arrays(batch), *self._predicted_arrays(predicted)]
        self._pending.append(pyarrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        if (
            sum(pending.num_rows for pending in self._pending) >= _ROWS_OF_A_GROUP
            or sum(pending.nbytes for pending in self._pending) >= _BYTES_OF_A_GROUP
        ):
            self._write_pending()

    def _finish(self) -> None:
        if self._pending:
            self._write_pending()
        self._writer.close()

    def _write_pending(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.RowFile.from_batches(self._pending, self._schema))
        self._pending = []

    def _types_of_source(self, summary: FileSummary) -> list[Any]:
        import pyarrow

        if self._source_schema is not None:
            return list(self._source_schema.types)
        return [
            pyarrow.int64()
            if field in summary.integers
            else pyarrow.float64()
            if field in summary.numbers
            else pyarrow.string()
            for field in summary.fields
        ]

    def _source_arrays(self, batch: RowBatch) -> list[Any]:
        import pyarrow

        columns: Iterable[Sequence[Any]] = zip(*batch.cells, strict=True)
        if self._source_schema is None:
            values = zip(*(row.values() for row in batch.rows), strict=True)
            columns = map(_cells_of, self._source_types, columns, values)
        return list(map(pyarrow.array, columns, self._source_types))

    def _predicted_arrays(self, predicted: list[list[Any]]) -> list[Any]:
        import pyarrow

        types = self._schema.types[len(self._source_types) :]
        columns = zip(*predicted, strict=True)
        return [
            pyarrow.array(_predictions_of(type_, values), type_) for type_, values in zip(types, columns, strict=True)
        ]


def _type_of_predictions(values: Sequence[Any]) -> Any:
    import pyarrow

    present = [value for value in values if value is not None]
    # With nothing to go by, text: it can hold whatever comes later.
    return pyarrow.float64() if present and all(map(is_number, present)) else pyarrow.string()


def _cells_of(type_: Any, cells: Sequence[Any], values: Sequence[Any]) -> Sequence[Any]:
    import pyarrow

    if type_ == pyarrow.float64():
        return list(map(_double, values))
    if type_ == pyarrow.string():
        # A number among texts stays as it was written.
        pairs = zip(cells, values, strict=True)
        return [cell if isinstance(cell, str) and value is not None else text_of(value) for cell, value in pairs]
    return values


def _predictions_of(type_: Any, values: Sequence[Any]) -> list[Any]:
    import pyarrow

    flattened = list(map(flat, values))
    if type_ == pyarrow.string():
        return [text_of(value) for value in flattened]
    if any(isinstance(value, str) for value in flattened):
        raise AkkioResponseError("Akkio's predictions suddenly have texts where the first rows had numbers.")
    return list(map(_double, flattened))


def _double(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        return None
