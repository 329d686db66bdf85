"""Write the rows of a file with Akkio's predictions, and replace a file atomically."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioResponseError, AkkioSourceFileError
from airflow_provider_akkio.files.formats import Compression, FileFormat, compression_of, output_format
from airflow_provider_akkio.files.reader import FileSummary, RowBatch, RowFile
from airflow_provider_akkio.files.source import JsonNumber
from airflow_provider_akkio.files.text import load_zstandard

if TYPE_CHECKING:
    from airflow_provider_akkio.files.parquet import ParquetOutput

_JSON_ENCODER = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """The columns of an output.

    :param names: names of the columns of the source, then those of the predictions.
    :param order: the columns to write, as positions in ``names``.
    """

    names: tuple[str, ...]
    order: tuple[int, ...]

    @classmethod
    def in_order(cls, names: Sequence[str]) -> Self:
        """Return columns that are all written, in their order."""
        return cls(tuple(names), tuple(range(len(names))))

    @classmethod
    def with_replaced(cls, fields: Sequence[str], keys: Sequence[str]) -> Self:
        """Return the columns of the source, of which predictions replace those with the same name."""
        positions = {name: at for at, name in enumerate((*fields, *keys))}  # the last position of each name
        return cls((*fields, *keys), tuple(positions.values()))

    @property
    def written(self) -> tuple[str, ...]:
        """The names of the columns in the output."""
        return tuple(self.select(self.names))

    def select(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return the values to write.

        :param values: a value for each of ``names``.
        """
        if len(self.order) == len(self.names):
            return values
        return [values[at] for at in self.order]


class PredictionWriter:
    """Write rows with their predictions; created by :func:`open_prediction_writer`."""

    def __init__(
        self,
        output: _TextOutput | ParquetOutput,
        source_name: str,
        fields: tuple[str, ...],
        *,
        is_flat: bool,
        replaces_columns: bool,
    ) -> None:
        self._output = output
        self._source_name = source_name
        self._is_flat = is_flat
        self._replaces_columns = replaces_columns
        self._fields = fields
        self._keys: tuple[str, ...] = ()
        self._columns = OutputColumns.in_order(())

    def write(self, batch: RowBatch, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Write a batch; the first one defines the prediction columns.

        :param batch: the rows.
        :param predictions: one prediction per row, in the same order.
        :raises AkkioSourceFileError: if a prediction cannot be named without a clash with the fields of the source.
        :raises AkkioResponseError: if a prediction has a key that is missing in the first batch.
        """
        if not self._columns.names:
            self._keys = tuple(dict.fromkeys(chain.from_iterable(predictions)))
            if self._replaces_columns:
                self._columns = OutputColumns.with_replaced(self._fields, self._keys)
            else:
                self._columns = OutputColumns.in_order((*self._fields, *self._prediction_columns(self._keys)))
        for prediction in predictions:
            if unknown := prediction.keys() - self._keys:
                raise AkkioResponseError(
                    f"Akkio's predictions have '{printable(min(unknown))}', which is missing in the first predictions."
                )
        predicted = [list(map(prediction.get, self._keys)) for prediction in predictions]
        if self._is_flat:
            predicted = [list(map(_to_scalar, values)) for values in predicted]
        self._output.write(self._columns, batch, predicted)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns; known after the first batch."""
        return self._columns.written

    def _prediction_columns(self, keys: tuple[str, ...]) -> Iterator[str]:
        for key in keys:
            column = f"{key} (predicted)" if key in self._fields else key
            if column != key and (column in self._fields or column in keys):
                raise AkkioSourceFileError(
                    f"{self._source_name}: the prediction '{printable(key)}' cannot be written, because the columns "
                    f"'{printable(key)}' and '{printable(column)}' both exist. Rename one in the source."
                )
            yield column


@contextmanager
def open_prediction_writer(
    file: BinaryIO, path_name: str, source: RowFile, summary: FileSummary, *, replaces_columns: bool = False
) -> Iterator[PredictionWriter]:
    """Open a writer for an output file. The file itself stays open.

    If source and output have the same format, the source columns are copied unchanged. Otherwise they contain the
    text that was sent to Akkio.

    :param file: a file open for writing bytes.
    :param path_name: name of the output; the extension defines the format.
    :param source: the source of the rows.
    :param summary: result of inspecting the source.
    :param replaces_columns: whether a prediction replaces the column of the source with the same name; default no: it
        gets the suffix ``(predicted)``.
    :raises AkkioParameterError: if predictions cannot be written in the format, or pyarrow is missing.
    """
    format_ = output_format(path_name)
    keep_cells = format_ is source.format
    output: _TextOutput | ParquetOutput
    if format_ is FileFormat.PARQUET:
        from airflow_provider_akkio.files.parquet import ParquetOutput

        output = ParquetOutput(file, keep_cells=keep_cells)
    else:
        output = _TextOutput(_compress(file, compression_of(path_name)), format_, keep_cells=keep_cells)
    with closing(output):
        is_flat = format_ is not FileFormat.JSON_LINES
        yield PredictionWriter(output, source.name, summary.fields, is_flat=is_flat, replaces_columns=replaces_columns)


class _TextOutput:
    """Write CSV, TSV or JSON Lines."""

    def __init__(self, file: _Output, format_: FileFormat, *, keep_cells: bool) -> None:
        self._file = file
        self._format = format_
        self._keep_cells = keep_cells
        self._is_empty = True
        # The csv module quotes a carriage return in a cell only if its line terminator contains one.
        delimiter = "\t" if format_ is FileFormat.TSV else ","
        self._csv = csv.writer(_LineFeedEncoder, delimiter=delimiter, lineterminator="\r\n")

    def write(self, columns: OutputColumns, batch: RowBatch, predicted: list[list[Any]]) -> None:
        source = batch.cells if self._keep_cells else (row.values() for row in batch.rows)
        rows = [columns.select([*cells, *values]) for cells, values in zip(source, predicted, strict=True)]
        names = columns.written
        if self._format is FileFormat.JSON_LINES:
            lines = [_json_line(names, row) for row in rows]
        else:
            # writerow returns what the write method of the encoder returns.
            lines = [self._csv.writerow(row) for row in ([names, *rows] if self._is_empty else rows)]
        self._file.write("".join(lines).encode(errors="replace"))
        self._is_empty = False

    def close(self) -> None:
        self._file.close()


class _Output(Protocol):
    def write(self, content: bytes, /) -> object: ...

    def close(self) -> None: ...


def _compress(file: BinaryIO, compression: Compression | None) -> _Output:
    """Return a stream that compresses; closing it does not close the file."""
    match compression:
        case Compression.GZIP:
            # Without a name and a time, equal rows give equal files.
            return gzip.GzipFile("", "wb", 6, file, mtime=0)
        case Compression.BZIP2:
            return bz2.BZ2File(file, "wb")
        case Compression.ZSTANDARD:
            pyarrow = load_zstandard()
            return _Frames(file, lambda content: pyarrow.compress(content, "zstd", asbytes=True))
    return _Frames(file, bytes)


class _Frames:
    """Convert and write each block on its own; compressed blocks form a valid file."""

    def __init__(self, file: BinaryIO, convert: Callable[[bytes], bytes]) -> None:
        self._file = file
        self._convert = convert

    def write(self, content: bytes, /) -> None:
        self._file.write(self._convert(content))

    def close(self) -> None: ...


class _LineFeedEncoder:
    @staticmethod
    def write(line: str) -> str:
        return line.removesuffix("\r\n") + "\n"


def _json_line(columns: Sequence[str], values: Sequence[Any]) -> str:
    members = [f"{_to_json(column)}: {_to_json(value)}" for column, value in zip(columns, values, strict=True)]
    return f"{{{', '.join(members)}}}\n"


def _to_json(value: Any) -> str:
    if isinstance(value, JsonNumber):
        return str(value)
    return _JSON_ENCODER.encode(_replace_non_finite(value))


def _replace_non_finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _replace_non_finite(member) for key, member in value.items()}
        case list():
            return [_replace_non_finite(member) for member in value]
        case float() if not math.isfinite(value):
            return None
    return value


def _to_scalar(value: Any) -> str | int | float | None:
    """Convert a prediction to a cell: text, numbers, null for NaN and infinity, JSON for arrays and objects."""
    match value:
        case None | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bool():
            return str(value)
        case int():
            return value
    return _to_json(value)


@contextmanager
def atomic_write(path: Any, token: object, previous_tokens: Iterable[object] = ()) -> Iterator[BinaryIO]:
    """Write to a hidden temporary file in the same directory, and rename it once it is complete.

    On any error the temporary file is deleted and an existing target stays as it is.

    :param path: the target, an ``ObjectStoragePath``; missing local directories are created.
    :param token: identifies the writer, such as task and attempt; part of the name of the temporary file.
    :param previous_tokens: tokens of earlier writers that have ended; their temporary files are deleted.
    """
    if path.protocol in ("", "file", "local"):
        path.parent.mkdir(parents=True, exist_ok=True)
    for previous_token in previous_tokens:
        with suppress(OSError):
            _temporary_path(path, previous_token).unlink()
    temporary = _temporary_path(path, token)
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.move(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _temporary_path(path: Any, token: object) -> Any:
    digest = hashlib.sha256(repr(token).encode()).hexdigest()[:16]
    return path.parent / f".{path.name}.{digest}.part"
