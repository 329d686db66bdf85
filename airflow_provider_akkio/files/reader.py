"""Read files of rows: validate the whole file first, then stream it in batches."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE
from airflow_provider_akkio.files.csv import CsvRows
from airflow_provider_akkio.files.json_lines import JsonLinesRows

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK_SIZE = 256 * 1024
_JSON_OVERHEAD = 6  # the quotes, colon and comma around a field name and its text
_CHANGED = "the file has changed since it was validated"
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # begins with the byte order mark of UTF-16
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class FileFormat(StrEnum):
    """How a file stores its rows."""

    CSV = "CSV"
    JSON_LINES = "JSON Lines"
    PARQUET = "Parquet"


_FORMATS = {
    ".csv": FileFormat.CSV,
    ".csv.gz": FileFormat.CSV,
    ".jsonl": FileFormat.JSON_LINES,
    ".jsonl.gz": FileFormat.JSON_LINES,
    ".ndjson": FileFormat.JSON_LINES,
    ".ndjson.gz": FileFormat.JSON_LINES,
    ".parquet": FileFormat.PARQUET,
}


def file_format(name: str) -> FileFormat:
    """Return the format of a file.

    :param name: its name, path or URL; upper and lower case are equal.
    :raises AkkioParameterError: if the extension is unknown.
    """
    for extension, format_ in _FORMATS.items():
        if name.lower().endswith(extension):
            return format_
    raise AkkioParameterError(f"{printable(name)}: the file extension must be one of {', '.join(_FORMATS)}.")


def is_gzipped(name: str) -> bool:
    """Return whether the extension says that the file is compressed by gzip."""
    return name.lower().endswith(".gz")


class ReadablePath(Protocol):
    """Location of a file: a :class:`pathlib.Path`, or Airflow's ``ObjectStoragePath``."""

    @property
    def name(self) -> str:
        """The last part of the path."""

    def open(self, mode: Literal["rb"]) -> AbstractContextManager[BinaryIO]:
        """Open the file for reading bytes."""


class _RowSource(Protocol):
    """An open file whose header has been read; implemented once per format."""

    fields: tuple[str, ...]

    def rows(self) -> Iterator[tuple[Any, int]]: ...

    def to_texts(self, cells: Any) -> Sequence[str | None]: ...


@dataclass(frozen=True, slots=True)
class FileSummary:
    """Result of validating a whole file.

    :param fields: the field names.
    :param row_count: number of rows, at least 1.
    :param digest: SHA-256 of the bytes of the file.
    """

    fields: tuple[str, ...]
    row_count: int
    digest: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Consecutive rows of a file.

    :param rows: the rows as they go to Akkio: field name to text, or to ``None`` for an empty cell.
    :param cells: the same rows as the source stores them. The type depends on the format; see the format's module.
    """

    rows: list[dict[str, str | None]]
    cells: list[Any]


class RowFile:
    """A file of rows. It is validated by :meth:`inspect` and streamed by :meth:`batches`.

    :param path: location of the file; the extension defines the format.
    :raises AkkioParameterError: if the extension is unknown.
    """

    def __init__(self, path: ReadablePath) -> None:
        self._path = path
        self.name = printable(str(path))
        self.format = file_format(path.name)

    def inspect(self) -> FileSummary:
        """Read and validate the whole file.

        :raises AkkioSourceFileError: if the file is invalid; the message names the file and the line.
        """
        with self._open() as (source, digest):
            row_count = sum(1 for _ in source.rows())
            if not row_count:
                raise AkkioSourceFileError("the file has no rows")
            return FileSummary(source.fields, row_count, digest.hexdigest())

    def batches(self, batch_size: int, skip: int = 0, expected: FileSummary | None = None) -> Iterator[RowBatch]:
        """Stream the file in batches.

        A batch ends after ``batch_size`` rows, or earlier if the rows would exceed about 4 MiB of text. The same file
        always has the same batches; ``skip`` does not move their boundaries if it is itself a boundary.

        :param batch_size: maximum number of rows in a batch.
        :param skip: number of rows to leave out at the beginning.
        :param expected: result of :meth:`inspect`; default: do not check whether the file has changed.
        :raises AkkioSourceFileError: if the file is invalid, or has changed: changed fields are detected before the
            first batch, changed rows after the last one.
        """
        with self._open() as (source, digest):
            if expected is not None and source.fields != expected.fields:
                raise AkkioSourceFileError(_CHANGED)
            for rows in _split(source, batch_size, skip):
                yield RowBatch([dict(zip(source.fields, source.to_texts(row), strict=True)) for row in rows], rows)
            if expected is not None and digest.hexdigest() != expected.digest:
                raise AkkioSourceFileError(_CHANGED)

    @contextmanager
    def _open(self) -> Iterator[tuple[_RowSource, _Hash]]:
        """Open the file, and add its name to the errors of the format's module.

        Other errors, such as a lost connection, are not converted: a task retry may succeed.
        """
        digest = hashlib.sha256()
        try:
            with self._path.open("rb") as file:
                source = self._read_header(file, digest)
                _check_field_names(source.fields)
                yield source, digest
        except AkkioSourceFileError as error:
            problem = str(error)
        except (FileNotFoundError, NotADirectoryError):
            problem = "the file does not exist"
        except IsADirectoryError:
            problem = "the path is a directory, not a file"
        except PermissionError:
            problem = "permission to read the file is denied"
        except (gzip.BadGzipFile, EOFError, zlib.error):
            problem = "the extension is .gz, but the file is damaged or is not compressed by gzip"
        else:
            return
        raise AkkioSourceFileError(f"{self.name}: {problem}.")

    def _read_header(self, file: BinaryIO, digest: _Hash) -> _RowSource:
        if self.format is FileFormat.PARQUET:
            from airflow_provider_akkio.files.parquet import ParquetRows

            while block := file.read(_BLOCK_SIZE):
                digest.update(block)
            return ParquetRows(file)
        stream: BinaryIO = io.BufferedReader(_DigestingReader(file, digest), _BLOCK_SIZE)
        if is_gzipped(self._path.name):
            stream = io.BufferedReader(gzip.GzipFile(fileobj=stream, mode="rb"), _BLOCK_SIZE)
        lines = _decode_lines(stream)
        return CsvRows(lines) if self.format is FileFormat.CSV else JsonLinesRows(lines)


def _check_field_names(fields: Sequence[str]) -> None:
    if not fields:
        raise AkkioSourceFileError("the file has no fields")
    seen: set[str] = set()
    for number, field in enumerate(fields, 1):
        if not field.strip():
            raise AkkioSourceFileError(f"field {number} has no name")
        if field in seen:
            raise AkkioSourceFileError(f"two fields have the name '{printable(field)}'")
        seen.add(field)


def _split(source: _RowSource, batch_size: int, skip: int) -> Iterator[list[Any]]:
    names_size = sum(len(field) + _JSON_OVERHEAD for field in source.fields)
    batch: list[Any] = []
    batch_weight = 0
    for cells, size in islice(source.rows(), skip, None):
        weight = names_size + size
        if batch and (len(batch) == batch_size or batch_weight + weight > MAX_ROW_SIZE):
            yield batch
            batch, batch_weight = [], 0
        batch.append(cells)
        batch_weight += weight
    if batch:
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


def _decode_lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a UTF-8 file without byte order marks, and reject lines longer than 4 MiB."""
    number = 0
    while line := file.readline(MAX_ROW_SIZE + 1):
        number += 1
        if number == 1:
            line = _remove_byte_order_marks(line)
        if len(line) > MAX_ROW_SIZE:
            raise AkkioSourceFileError(f"line {number} is longer than 4 MiB")
        if b"\0" in line:
            raise AkkioSourceFileError(f"line {number} has a NUL byte; the file is not text, or is not UTF-8")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise AkkioSourceFileError(f"line {number} is not valid UTF-8; save the file as UTF-8") from None
        if text:
            yield text


def _remove_byte_order_marks(line: bytes) -> bytes:
    for mark, encoding in _OTHER_ENCODINGS.items():
        if line.startswith(mark):
            raise AkkioSourceFileError(f"the encoding of the file is {encoding}; save it as UTF-8")
    while line.startswith(codecs.BOM_UTF8):
        line = line.removeprefix(codecs.BOM_UTF8)
    return line
