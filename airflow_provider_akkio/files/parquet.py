"""Rows of a Parquet file, and Parquet output. Importing this module needs pyarrow (extra ``parquet``)."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from airflow_provider_akkio.api.cells import cell_to_text, is_exact_as_float
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioResponseError, AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE
from airflow_provider_akkio.files.options import SELECTION_HINT, ReadOptions
from airflow_provider_akkio.files.source import RowBatch, RowSource, check_row_size

if TYPE_CHECKING:
    from airflow_provider_akkio.files.writer import OutputColumns

try:
    import pyarrow
    from pyarrow import compute, parquet, types
except ImportError as error:
    raise AkkioParameterError(
        "Parquet files need pyarrow. Install airflow-provider-akkio[parquet] on the worker."
    ) from error

_BUFFER_SIZE = 256 * 1024
_MAX_ROWS_IN_MEMORY = 1024
_MAX_ROWS_WITH_SHARED_PREFIXES = 64
_MAX_CELLS_IN_MEMORY = 100_000
_DICTIONARY_ENCODINGS = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_ROW_GROUP_ROWS = 10_000
_ROW_GROUP_BYTES = 8 * 1024 * 1024

# The types that str() prints, except dictionaries, which are decoded.
_SUPPORTED_TYPE = re.compile(
    r"null|bool|u?int\d+|halffloat|float|double|decimal\d+\(.*\)|(large_)?string|string_view"
    r"|(date|time|timestamp)\d*\[.*\]"
)


class ArrowRow(NamedTuple):
    """The cells of a row: its position in Arrow's data, and the texts that go to Akkio."""

    record_batch: Any
    position: int
    texts: tuple[str | None, ...]


class ParquetRows(RowSource):
    """The rows of a Parquet file.

    The index that pandas adds to a table without one is left out, unless ``columns`` names it.

    :param file: a seekable file.
    :param options: which columns to read.
    """

    def __init__(self, file: BinaryIO, options: ReadOptions) -> None:
        # Without pre_buffer and with a buffer, Arrow streams a column instead of loading its row group.
        streaming: dict[str, Any] = {"pre_buffer": False, "buffer_size": _BUFFER_SIZE}
        with _damage_reported():
            self._file = parquet.ParquetFile(file, **streaming)
            schema = self._file.schema_arrow
        self.omitted_index = () if options.columns is not None else _unnamed_index(schema)
        options = replace(options, exclude_columns=(*options.exclude_columns, *self.omitted_index))
        self._missing_texts = options.missing_texts
        selected = [schema.field(position) for position in options.selected_positions(schema.names)]
        for field in selected:
            value_type = field.type.value_type if types.is_dictionary(field.type) else field.type
            if not _SUPPORTED_TYPE.fullmatch(str(value_type)):
                name, type_name = printable(field.name), printable(str(field.type))
                raise AkkioSourceFileError(
                    f"the column '{name}' has the type {type_name}, which is not supported. {SELECTION_HINT}"
                )
        self.fields: tuple[str, ...] = tuple(field.name for field in selected)
        self._text_fields = {field.name for field in selected if "string" in str(field.type)}
        with _damage_reported():
            self._dictionary_file = parquet.ParquetFile(
                file, metadata=self._file.metadata, read_dictionary=list(self._text_fields), **streaming
            )

    def rows(self) -> Iterator[tuple[int, ArrowRow, int]]:
        """Yield the number, the selected cells and the number of characters of each row."""
        number = 0
        with _damage_reported():
            for record_batch in self._record_batches():
                rows_at_once = _rows_within_limit(sum(map(_longest_text, record_batch.columns)))
                for start in range(0, record_batch.num_rows, rows_at_once):
                    part = record_batch.slice(start, rows_at_once)
                    columns = [self._to_texts(part, column, number) for column in range(len(self.fields))]
                    for position, texts in enumerate(zip(*columns, strict=True), start):
                        number += 1
                        text = "".join(filter(None, texts))
                        check_row_size(self.unit, number, len(text))
                        if "\0" in text:
                            raise AkkioSourceFileError(f"row {number} has a NUL character")
                        yield number, ArrowRow(record_batch, position, texts), len(text)

    def to_texts(self, cells: ArrowRow, missing_texts: frozenset[str]) -> Sequence[str | None]:  # noqa: ARG002 - applied to columns
        """Return cells as they go to Akkio."""
        return cells.texts

    def _record_batches(self) -> Iterator[Any]:
        for group in range(self._file.num_row_groups):
            # Arrow takes a name with a dot for a path as well, so it may read more columns than these.
            for read_batch in _read(self._file, group, self._rows_at_once(group), self.fields):
                yield read_batch.select(self.fields)

    def _rows_at_once(self, group: int) -> int:
        """Return how many rows of a row group have at most about 4 MiB of text.

        A text that a dictionary has once, or that begins as the text before it, needs few bytes in the file.
        """
        metadata = self._file.metadata.row_group(group)
        chunks = [metadata.column(position) for position in range(metadata.num_columns)]
        encodings = {chunk.path_in_schema: chunk.encodings for chunk in chunks}
        texts = [name for name in self._text_fields if name in encodings]
        average = metadata.total_byte_size // max(metadata.num_rows, 1)
        longest = self._longest_texts(group, [name for name in texts if _DICTIONARY_ENCODINGS & {*encodings[name]}])
        has_shared_prefixes = any("DELTA_BYTE_ARRAY" in encodings[name] for name in texts)
        return max(
            1,
            min(
                _MAX_ROWS_WITH_SHARED_PREFIXES if has_shared_prefixes else _MAX_ROWS_IN_MEMORY,
                _rows_within_limit(average + longest),
                _MAX_CELLS_IN_MEMORY // max(len(self.fields), 1),
            ),
        )

    def _longest_texts(self, group: int, names: list[str]) -> int:
        """Return the sum of the sizes of the longest text in the dictionary of each column."""
        # The first row comes with the whole dictionary.
        first = next(_read(self._dictionary_file, group, 1, names), None) if names else None
        return 0 if first is None else sum(map(_longest_text, first.columns))

    def _to_texts(self, record_batch: Any, column: int, rows_before: int) -> list[str | None]:
        try:
            return _column_to_texts(record_batch.column(column), self._missing_texts)
        except (ValueError, OverflowError):
            last = rows_before + record_batch.num_rows
            raise AkkioSourceFileError(
                f"the column '{printable(self.fields[column])}' has, in rows {rows_before + 1} to {last}, "
                "a text that is not UTF-8, or a time outside the years 1 to 9999"
            ) from None


def _unnamed_index(schema: Any) -> tuple[str, ...]:
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return tuple(name for name in index if name in schema.names and _PANDAS_INDEX.fullmatch(name))


def _read(file: Any, group: int, rows_at_once: int, names: Sequence[str]) -> Iterator[Any]:
    batches: Iterator[Any] = file.iter_batches(rows_at_once, row_groups=[group], columns=list(names), use_threads=False)
    return batches


def _rows_within_limit(row_size: int) -> int:
    return max(1, MAX_ROW_SIZE // max(row_size, 1))


def _longest_text(column: Any) -> int:
    """Return the size of the longest text in the dictionary of a column; 0 without a dictionary."""
    if not types.is_dictionary(column.type) or "string" not in str(column.type.value_type):
        return 0
    return compute.max(compute.binary_length(column.dictionary)).as_py() or 0


@contextmanager
def _damage_reported() -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        # Arrow reports damaged data without an errno. With one, the error comes from the disk or the network.
        if getattr(error, "errno", None) is not None:
            raise
        raise AkkioSourceFileError(
            "the extension is .parquet, but the file is damaged or is not a Parquet file"
        ) from None


def _column_to_texts(column: Any, missing_texts: frozenset[str]) -> list[str | None]:
    if types.is_dictionary(column.type):
        return _column_to_texts(column.dictionary_decode(), missing_texts)
    if types.is_floating(column.type):
        # Arrow knows the shortest text of a 32-bit float; Python adds the spelling of pandas.
        is_half = types.is_float16(column.type)
        texts = map(_half_to_text, column.to_pylist()) if is_half else column.cast(pyarrow.string()).to_pylist()
        return [None if text is None else cell_to_text(float(text)) for text in texts]
    if getattr(column.type, "unit", "") == "ns":
        return _nanoseconds_to_texts(column)
    values = column.to_pylist()
    if types.is_integer(column.type):  # as cell_to_text, and four times as fast
        return [None if value is None else str(value) for value in values]
    if "string" in str(column.type):
        return [None if value is None or value in missing_texts else value for value in values]
    return [cell_to_text(value) for value in values]


def _half_to_text(value: float | None) -> str | None:
    """Return the shortest text that becomes the same 16-bit float again."""
    if value is None or not math.isfinite(value):
        return None if value is None else str(value)
    texts = (f"{float(value):.{digits}g}" for digits in range(1, 5))
    return next((text for text in texts if _round_to_half(float(text)) == value), str(float(value)))


def _round_to_half(value: float) -> float:
    try:
        return float(struct.unpack("e", struct.pack("e", value))[0])
    except OverflowError:
        return math.inf


def _nanoseconds_to_texts(column: Any) -> list[str | None]:
    """Add the last three digits to ISO 8601 texts, because Python's times end at microseconds."""
    is_time = types.is_time(column.type)
    in_microseconds = pyarrow.time64("us") if is_time else pyarrow.timestamp("us", column.type.tz)
    nanoseconds = column.cast(pyarrow.int64()).to_pylist()
    microseconds = [None if value is None else value // 1000 for value in nanoseconds]
    texts: list[str | None] = []
    for value, rest in zip(pyarrow.array(microseconds, in_microseconds).to_pylist(), nanoseconds, strict=True):
        text = cell_to_text(value)
        if text is not None and rest % 1000:
            begin = value.replace(tzinfo=None).isoformat(timespec="microseconds")
            offset = value.isoformat(timespec="microseconds").removeprefix(begin)
            text = f"{begin}{rest % 1000:03}{offset}"
        texts.append(text)
    return texts


class ParquetOutput:
    """Write source columns and predictions to a Parquet file.

    With ``keep_cells``, the columns of a Parquet source keep their types; otherwise they are the text sent to Akkio.
    """

    def __init__(self, file: BinaryIO, *, keep_cells: bool) -> None:
        self._file = file
        self._keep_cells = keep_cells
        self._schema: Any = None
        self._types: list[Any] = []
        self._writer: Any = None
        self._pending: list[Any] = []

    def write(self, columns: OutputColumns, batch: RowBatch, predicted: list[list[Any]]) -> None:
        """Write a batch. The first batch defines the types of the prediction columns."""
        source = _arrow_table(batch.cells) if self._keep_cells else _text_table(batch.rows)
        names, values = columns.names[source.num_columns :], list(zip(*predicted, strict=True))
        if self._writer is None:
            self._types = list(map(_type_of, values))
            fields = map(pyarrow.field, names, self._types)
            self._schema = pyarrow.schema(columns.select([*source.schema, *fields]))
            self._writer = parquet.ParquetWriter(self._file, self._schema)
        arrays = [_predicted_array(*column) for column in zip(names, self._types, values, strict=True)]
        written = columns.select([*source.columns, *arrays])
        self._pending.append(pyarrow.Table.from_arrays(written, schema=self._schema))
        if (
            sum(table.num_rows for table in self._pending) >= _ROW_GROUP_ROWS
            or sum(table.nbytes for table in self._pending) >= _ROW_GROUP_BYTES
        ):
            self._write_row_group()

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        if self._writer is not None:
            with self._writer:
                self._write_row_group()

    def _write_row_group(self) -> None:
        if self._pending:
            self._writer.write_table(pyarrow.concat_tables(self._pending))
            self._pending = []


def _arrow_table(rows: Sequence[ArrowRow]) -> Any:
    slices = []
    for _, group in groupby(rows, key=lambda row: id(row.record_batch)):
        members = list(group)
        slices.append(members[0].record_batch.slice(members[0].position, len(members)))
    return pyarrow.Table.from_batches(slices)


def _text_table(rows: list[dict[str, str | None]]) -> Any:
    return pyarrow.Table.from_pylist(rows, pyarrow.schema([(field, pyarrow.string()) for field in rows[0]]))


def _type_of(values: Sequence[Any]) -> Any:
    present = [value for value in values if value is not None]
    # A column without values becomes text, which can store later values of any type.
    is_numeric = bool(present) and all(map(_is_number, present))
    return pyarrow.float64() if is_numeric else pyarrow.string()


def _predicted_array(name: str, type_: Any, values: Sequence[Any]) -> Any:
    if type_ == pyarrow.string():
        return pyarrow.array([None if value is None else str(value) for value in values], type_)
    if not all(value is None or _is_number(value) for value in values):
        raise AkkioResponseError(
            f"Akkio's predictions in '{printable(name)}' are numbers in the first rows, but in later rows text, or "
            "integers with more digits than a float has. Write CSV or JSON Lines instead."
        )
    return pyarrow.array([None if value is None else float(value) for value in values], type_)


def _is_number(value: str | float) -> bool:
    return not isinstance(value, str) and is_exact_as_float(value)
