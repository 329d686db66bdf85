"""Read files of rows: validate the whole file first, then stream it in batches."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE
from airflow_provider_akkio.files.csv import CsvRows
from airflow_provider_akkio.files.formats import FileFormat, compression_of, file_format
from airflow_provider_akkio.files.json import JsonRows, parse_array, parse_lines
from airflow_provider_akkio.files.options import ReadOptions
from airflow_provider_akkio.files.source import RowBatch, RowSource, unsupported_value
from airflow_provider_akkio.files.text import BLOCK_SIZE, decode, decompress, reporting_damage, split_lines

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["FileFormat", "FileSummary", "ReadOptions", "ReadablePath", "RowBatch", "RowFile", "file_format"]

log = logging.getLogger(__name__)

_DEFAULT_OPTIONS = ReadOptions()
_JSON_OVERHEAD = 6  # the quotes, colon and comma around a field name and its text
_CHANGED = "the file has changed since it was validated"
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")


class ReadablePath(Protocol):
    """Location of a file: a :class:`pathlib.Path`, or Airflow's ``ObjectStoragePath``."""

    @property
    def name(self) -> str:
        """The last part of the path."""

    def open(self, mode: Literal["rb"]) -> AbstractContextManager[BinaryIO]:
        """Open the file for reading bytes."""


@dataclass(frozen=True, slots=True)
class FileSummary:
    """Result of validating a whole file.

    :param fields: names of the selected fields, in the order of the file.
    :param row_count: number of rows.
    :param digest: SHA-256 of the read options and of the bytes of the file.
    """

    fields: tuple[str, ...]
    row_count: int
    digest: str


class RowFile:
    """A file of rows. It is validated by :meth:`inspect` and streamed by :meth:`batches`.

    :param path: location of the file; the extension defines the format.
    :param options: how to read it; default: all columns.
    :raises AkkioParameterError: if the extension is unknown, or an option does not apply to the format.
    """

    def __init__(self, path: ReadablePath, options: ReadOptions = _DEFAULT_OPTIONS) -> None:
        self._path = path
        self._options = options
        self.name = printable(str(path))
        self.format = file_format(path.name)
        options.check_format(self.name, self.format)

    def inspect(self) -> FileSummary:
        """Read and validate the whole file.

        :raises AkkioSourceFileError: if the file is invalid; the message names the file and the line.
        """
        with self._open() as (source, digest):
            row_count = sum(1 for _ in self._convert(source))
            self._report_fields(source)
            return FileSummary(source.fields, row_count, digest.hexdigest())

    def batches(self, batch_size: int, skip: int = 0, expected: FileSummary | None = None) -> Iterator[RowBatch]:
        """Stream the file in batches.

        A batch ends after ``batch_size`` rows, or earlier if the rows would exceed about 4 MiB of text. The same file
        always has the same batches; ``skip`` does not move their boundaries if it is itself a boundary.

        :param batch_size: maximum number of rows in a batch.
        :param skip: number of rows to leave out at the beginning.
        :param expected: result of :meth:`inspect`; default: inspect the file first.
        :raises AkkioSourceFileError: if the file is invalid, or has changed: changed fields are detected before the
            first batch (in JSON files before the batch that has them), changed rows after the last one.
        """
        if expected is None:
            expected = self.inspect()
        with self._open(expected.fields) as (source, digest):
            for batch in _split(islice(self._convert(source), skip, None), expected.fields, batch_size):
                if source.fields != expected.fields:
                    raise AkkioSourceFileError(_CHANGED)
                yield batch
            if digest.hexdigest() != expected.digest:
                raise AkkioSourceFileError(_CHANGED)

    def _convert(self, source: RowSource) -> Iterator[tuple[Any, Sequence[str | None], int]]:
        """Yield the cells, the texts and the number of characters of each row, and validate numbers."""
        missing_texts = self._options.missing_texts
        numbers: list[int] = []
        fields: tuple[str, ...] = ()
        for number, cells, size in source.rows():
            if fields != source.fields:
                fields = source.fields
                numbers = [at for at, field in enumerate(fields) if field in self._options.number_fields]
            try:
                texts = source.to_texts(cells, missing_texts)
            except ValueError as error:
                raise _unsupported(source, number, cells) from error
            for at in numbers:
                text = texts[at]
                if text is not None and not _NUMBER.fullmatch(text):
                    raise AkkioSourceFileError(
                        f"{source.unit} {number} has '{printable(text)}' in the field '{printable(fields[at])}', whose "
                        "type is a number. If it means a missing value, add it to null_values"
                    )
            yield cells, texts, size

    def _report_fields(self, source: RowSource) -> None:
        if spaced := [field for field in source.fields if field != field.strip()]:
            names = printable(", ".join(map(repr, spaced)))
            log.warning("%s has field names that begin or end with a space; use them as they are: %s", self.name, names)
        if source.omitted_index:
            log.info("%s: leaving out the unnamed index of pandas, %s.", self.name, ", ".join(source.omitted_index))

    @contextmanager
    def _open(self, fields: tuple[str, ...] = ()) -> Iterator[tuple[RowSource, _Hash]]:
        """Open the file, and add its name to the errors of the format's module.

        Other errors, such as a lost connection, are not converted: a task retry may succeed.

        :param fields: the fields, if the file was inspected before.
        """
        digest = hashlib.sha256(self._options.fingerprint())
        try:
            with self._path.open("rb") as file, reporting_damage(compression_of(self._path.name)):
                yield self._open_source(file, digest, fields), digest
        except AkkioSourceFileError as error:
            problem = str(error)
        except (FileNotFoundError, NotADirectoryError):
            problem = "the file does not exist"
        except IsADirectoryError:
            problem = "the path is a directory, not a file"
        except PermissionError:
            problem = "permission to read the file is denied"
        else:
            return
        raise AkkioSourceFileError(f"{self.name}: {problem}.")

    def _open_source(self, file: BinaryIO, digest: _Hash, fields: tuple[str, ...]) -> RowSource:
        if self.format is FileFormat.PARQUET:
            from airflow_provider_akkio.files.parquet import ParquetRows

            while block := file.read(BLOCK_SIZE):
                digest.update(block)
            return ParquetRows(file, self._options)
        stream: BinaryIO = io.BufferedReader(_DigestingReader(file, digest), BLOCK_SIZE)
        if self.format is FileFormat.EXCEL:
            from airflow_provider_akkio.files.excel import ExcelRows

            return ExcelRows(stream, self._options)
        blocks = decode(decompress(stream, compression_of(self._path.name)), self._options.encoding)
        match self.format:
            case FileFormat.JSON:
                return JsonRows(parse_array(blocks), self._options, "row", fields)
            case FileFormat.JSON_LINES:
                return JsonRows(parse_lines(split_lines(blocks)), self._options, "line", fields)
        return CsvRows(split_lines(blocks), self._options, "\t" if self.format is FileFormat.TSV else ",")


def _unsupported(source: RowSource, number: int, cells: Sequence[Any]) -> AkkioSourceFileError:
    for field, cell in zip(source.fields, cells, strict=False):
        try:
            source.to_texts([cell], frozenset())
        except ValueError:
            return unsupported_value(f"{source.unit} {number}", field, f"a {type(cell).__name__}")
    raise AssertionError("all cells are supported")


def _split(
    rows: Iterable[tuple[Any, Sequence[str | None], int]], fields: tuple[str, ...], batch_size: int
) -> Iterator[RowBatch]:
    names_size = sum(len(field) + _JSON_OVERHEAD for field in fields)
    batch = RowBatch([], [])
    batch_weight = 0
    for cells, texts, size in rows:
        weight = names_size + size
        if batch.rows and (len(batch.rows) == batch_size or batch_weight + weight > MAX_ROW_SIZE):
            yield batch
            batch, batch_weight = RowBatch([], []), 0
        batch.rows.append(dict(zip(fields, texts, strict=False)))  # their lengths differ only if the file has changed
        batch.cells.append(cells)
        batch_weight += weight
    if batch.rows:
        yield batch


class _DigestingReader(io.RawIOBase):
    """Pass the bytes of a file through, and update a digest with them."""

    def __init__(self, file: BinaryIO, digest: _Hash) -> None:
        self._file = file
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        block = self._file.read(len(buffer))
        self._digest.update(block)
        buffer[: len(block)] = block
        return len(block)
