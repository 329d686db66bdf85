"""The text of a file: decompressed, decoded, and split into lines, in bounded memory."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE
from airflow_provider_akkio.files.formats import Compression

BLOCK_SIZE = 256 * 1024
"""Number of bytes that are read at once."""

_SIGNATURES = {
    b"\x1f\x8b": "is compressed by gzip; its extension must end in .gz",
    b"BZh": "is compressed by bzip2; its extension must end in .bz2",
    b"\x28\xb5\x2f\xfd": "is compressed by Zstandard; its extension must end in .zst",
    b"\xfd7zXZ\0": "is compressed by xz, which is not supported",
    b"PK\x03\x04": "is an Excel file (.xlsx) or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "is an old Excel file (.xls); save it as .xlsx",
    b"PAR1": "is a Parquet file; its extension must be .parquet",
    b"%PDF": "is a PDF document",
}
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the byte order mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_HTML = re.compile(r"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


def decompress(file: BinaryIO, compression: Compression | None) -> BinaryIO:
    """Return a stream of the decompressed bytes of a file.

    :raises AkkioParameterError: if the library for the compression is missing.
    """
    match compression:
        case Compression.GZIP:
            return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), BLOCK_SIZE)
        case Compression.BZIP2:
            return io.BufferedReader(bz2.BZ2File(file), BLOCK_SIZE)
        case Compression.ZSTANDARD:
            pyarrow = load_zstandard()
            stream: BinaryIO = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, "r"), "zstd")
            return stream
    return file


def load_zstandard() -> Any:
    """Return pyarrow, which compresses by Zstandard in all versions of Python."""
    try:
        import pyarrow
    except ImportError as error:
        raise AkkioParameterError(
            "Files with the extension .zst need pyarrow. Install airflow-provider-akkio[parquet] on the worker."
        ) from error
    return pyarrow


@contextmanager
def reporting_damage(compression: Compression | None) -> Iterator[None]:
    """Report damaged compressed data as :class:`AkkioSourceFileError`, and let other errors pass."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        # The decompressors raise a bare OSError. Errors of the disk or the network have a subclass or an errno.
        is_from_elsewhere = type(error) not in (OSError, EOFError, zlib.error, gzip.BadGzipFile)
        if compression is None or is_from_elsewhere or getattr(error, "errno", None) is not None:
            raise
        raise AkkioSourceFileError(
            f"the extension is {compression}, but the file is damaged or is not compressed by "
            f"{compression.name.capitalize()}"
        ) from None


def decode(file: BinaryIO, encoding: str) -> Iterator[str]:
    """Yield the text of a file in blocks, without byte order marks.

    :raises AkkioSourceFileError: if the file is not text, or has another encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line, is_begin = 1, True
    while True:
        block = file.read(BLOCK_SIZE)
        if is_begin:
            _check_signature(block, encoding)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            begin = error.object[: error.start]
            yield begin.decode(encoding, "ignore")
            line += begin.count(b"\n")
            raise AkkioSourceFileError(
                f"line {line} is not valid {encoding.upper()}; save the file as UTF-8, or set encoding"
            ) from None
        if is_begin:
            text = text.lstrip("\ufeff")
            if _HTML.match(text):
                raise AkkioSourceFileError("the file is an HTML page. Was it saved from a login page or a browser?")
        if "\0" in text:
            line += text[: text.index("\0")].count("\n")
            raise AkkioSourceFileError(
                f"line {line} has a NUL byte; the file is not text, or is not {encoding.upper()}"
            )
        yield text
        if not block:
            return
        is_begin = False
        line += text.count("\n")


def split_lines(blocks: Iterator[str]) -> Iterator[str]:
    """Yield the lines of a text with their line feeds, and reject lines longer than 4 MiB."""
    number, begin = 1, ""
    for block in blocks:
        for part in io.StringIO(block, newline="\n"):
            line = begin + part if begin else part
            if len(line) > MAX_ROW_SIZE:
                raise AkkioSourceFileError(f"line {number} is longer than 4 MiB")
            if line[-1] != "\n":  # continues in the next block
                begin = line
                break
            yield line
            number, begin = number + 1, ""
    if begin:
        yield begin


def _check_signature(block: bytes, encoding: str) -> None:
    for signature, problem in _SIGNATURES.items():
        if block.startswith(signature):
            raise AkkioSourceFileError(f"the file {problem}")
    actual = next((name for mark, name in _BYTE_ORDER_MARKS.items() if block.startswith(mark)), None)
    if actual is not None and not codecs.lookup(encoding).name.startswith(actual):
        raise AkkioSourceFileError(
            f"the encoding of the file is {actual.upper()}; save it as UTF-8, or set encoding='{actual}'"
        )
