"""Rows from Parquet, a bounded number of them in memory at a time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import add
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.files.cells import Column, Converter, Value, text_of
from airflow_provider_akkio.files.sources import LARGEST, Source, refuse

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK = 256 * 1024
_MOST_ROWS = 1024
_MOST_CELLS = 100_000


class ParquetSource(Source):
    """A Parquet file whose columns are scalars; rows are counted from 1.

    :param name: the file's name, as messages have it.
    :param file: its bytes; must be able to seek.
    :param digest: takes the bytes as they stand in the file.
    :raises AkkioSourceFileError: if it is no Parquet file, or a column cannot be sent.
    """

    def __init__(self, name: str, file: BinaryIO, digest: _Hash | None = None) -> None:
        self.name = name
        parquet = parquet_module(name)
        if digest is not None:
            while block := file.read(_BLOCK):
                digest.update(block)
        with self._readable():
            # Without pre_buffer and with a buffer, a column is read as it is decoded, not a row group at once.
            self._file = parquet.ParquetFile(file, pre_buffer=False, buffer_size=_BLOCK)
            self.schema = self._file.schema_arrow
        for field in self.schema:
            if _value_converter(field.type) is None:
                refuse(
                    name,
                    f"the column '{printable(field.name)}' is of the type {printable(str(field.type))}, which cannot be sent",
                )
        super().__init__(name, self.schema.names)

    def rows(self) -> Iterator[tuple[Sequence[Any], int]]:
        """Yield the cells of each row, and about how many characters they have.

        :raises AkkioSourceFileError: at the first row that is wrong.
        """
        before = 0
        for columns, sizes in self._chunks():
            if (largest := max(sizes)) > LARGEST:
                refuse(self.name, f"row {before + 1 + sizes.index(largest)} is larger than 4 MiB")
            yield from zip(zip(*columns, strict=True), sizes, strict=True)
            before += len(sizes)

    def converter(self, position: int) -> Converter:
        """Return what makes values of the cells of one field.

        :param position: the field's place among the fields.
        """
        converter = _value_converter(self.schema.field(position).type)
        assert converter is not None  # noqa: S101  # others were refused with the schema
        return converter

    def text_converter(self, position: int) -> Converter:
        """Return what makes texts of the cells of one field, even where they are numbers.

        :param position: the field's place among the fields.
        """
        convert = self.converter(position)
        return lambda column: [text_of(value) for value in convert(column)]

    def _chunks(self) -> Iterator[tuple[list[list[Any]], list[int]]]:
        chunks = self._file.iter_batches(batch_size=self._rows_at_once(), use_threads=False)
        before = 0
        while True:
            with self._readable():
                chunk = next(chunks, None)
            if chunk is None:
                return
            if chunk.num_rows:
                columns = [self._cells(column, at, before) for at, column in enumerate(chunk.columns)]
                yield columns, self._sizes(columns, chunk.num_rows, before)
            before += chunk.num_rows

    def _rows_at_once(self) -> int:
        groups = self._file.metadata
        size = sum(groups.row_group(at).total_byte_size for at in range(groups.num_row_groups))
        rows_of_4_mib: int = LARGEST * groups.num_rows // max(size, 1)
        return max(1, min(_MOST_ROWS, rows_of_4_mib, _MOST_CELLS // max(len(self.fields), 1)))

    def _cells(self, column: Any, position: int, before: int) -> list[Any]:
        if _is_in_nanoseconds(column.type):
            return list(column)
        try:
            cells: list[Any] = column.to_pylist()
        except (ValueError, OverflowError):
            refuse(
                self.name,
                f"rows {before + 1} to {before + len(column)} have in the column "
                f"'{printable(self.fields[position])}' a text that is not UTF-8, or a time out of Python's range",
            )
        return cells

    def _sizes(self, columns: list[list[Any]], rows: int, before: int) -> list[int]:
        sizes = [0] * rows
        for column, field in zip(columns, self.schema, strict=True):
            if not _is_text(field.type):
                sizes = [size + 8 for size in sizes]
                continue
            texts = [cell or "" for cell in column]
            if "\0" in "".join(texts):
                at = next(at for at, text in enumerate(texts) if "\0" in text)
                refuse(self.name, f"row {before + at + 1} has a NUL character in '{printable(field.name)}'")
            sizes = list(map(add, sizes, map(len, texts)))
        return sizes

    @contextmanager
    def _readable(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        except pyarrow.ArrowException:
            refuse(self.name, "the file ends in .parquet, but is no Parquet file, or a broken one")
        except OSError as error:
            # Arrow's own complaints about the bytes have no number; those of a disk or a network do.
            if error.errno is not None:
                raise
            refuse(self.name, "the file ends in .parquet, but is no Parquet file, or a broken one")


def parquet_module(name: str) -> Any:
    """Return :mod:`pyarrow.parquet`.

    :param name: the name of the file that needs it, as messages have it.
    :raises AkkioSourceFileError: if it is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        refuse(name, "Parquet needs airflow-provider-akkio[parquet]")
    return parquet


def _value_converter(type_: Any) -> Converter | None:
    from pyarrow import types

    if types.is_dictionary(type_):
        return _value_converter(type_.value_type)
    if _is_in_nanoseconds(type_):
        return _each(_nanoseconds)
    kinds: list[tuple[Callable[[Any], bool], Converter]] = [
        (types.is_integer, _as_they_are),
        (types.is_null, _as_they_are),
        (_is_text, _each(lambda cell: cell if cell and not cell.isspace() else None)),
        (types.is_floating, _each(lambda cell: cell if cell is not None and math.isfinite(cell) else None)),
        (types.is_decimal, _each(lambda cell: None if cell is None else float(cell))),
        (types.is_boolean, _each(lambda cell: None if cell is None else "true" if cell else "false")),
        (types.is_temporal, _each(_iso)),
    ]
    if types.is_duration(type_) or types.is_interval(type_):
        return None
    return next((converter for fits, converter in kinds if fits(type_)), None)


def _is_text(type_: Any) -> bool:
    from pyarrow import types

    text = type_.value_type if types.is_dictionary(type_) else type_
    return bool(types.is_string(text) or types.is_large_string(text) or str(text) == "string_view")


def _is_in_nanoseconds(type_: Any) -> bool:
    from pyarrow import types

    return bool(types.is_temporal(type_) and not types.is_duration(type_) and getattr(type_, "unit", "") == "ns")


def _as_they_are(column: Column) -> Sequence[Value]:
    return column


def _each(convert: Callable[[Any], Value]) -> Converter:
    return lambda column: list(map(convert, column))


def _iso(cell: datetime.date | datetime.time | None) -> str | None:
    return None if cell is None else cell.isoformat()


def _nanoseconds(cell: Any) -> str | None:
    import pyarrow

    type_ = cell.type
    is_time = pyarrow.types.is_time(type_)
    coarser = pyarrow.time64("us") if is_time else pyarrow.timestamp("us", type_.tz)
    return _iso(cell.cast(coarser, safe=False).as_py())
