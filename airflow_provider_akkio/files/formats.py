"""The formats of files, and their extensions. A DAG file imports this module, so it stays small."""

from __future__ import annotations

from enum import StrEnum

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError


class FileFormat(StrEnum):
    """How a file stores its rows."""

    CSV = "CSV"
    TSV = "TSV"
    JSON_LINES = "JSON Lines"
    JSON = "JSON"
    PARQUET = "Parquet"
    EXCEL = "Excel"


class Compression(StrEnum):
    """How the bytes of a text file are compressed. The value is the end of the file name."""

    GZIP = ".gz"
    BZIP2 = ".bz2"
    ZSTANDARD = ".zst"


_COMPRESSIBLE = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.TSV,
    ".jsonl": FileFormat.JSON_LINES,
    ".ndjson": FileFormat.JSON_LINES,
    ".json": FileFormat.JSON,
}
_FORMATS = {
    **_COMPRESSIBLE,
    **{f"{extension}{end}": format_ for extension, format_ in _COMPRESSIBLE.items() for end in Compression},
    ".parquet": FileFormat.PARQUET,
    ".xlsx": FileFormat.EXCEL,
}
_READ_ONLY = (FileFormat.JSON, FileFormat.EXCEL)


def file_format(name: str) -> FileFormat:
    """Return the format of a file to read.

    :param name: its name, path or URL; upper and lower case are equal.
    :raises AkkioParameterError: if the extension is unknown.
    """
    for extension, format_ in _FORMATS.items():
        if name.lower().endswith(extension):
            return format_
    raise AkkioParameterError(f"{printable(name)}: the file extension must be {_extensions(_FORMATS)}.")


def output_format(name: str) -> FileFormat:
    """Return the format of a file to write.

    :param name: its name, path or URL; upper and lower case are equal.
    :raises AkkioParameterError: if the extension is unknown, or predictions cannot be written in its format.
    """
    format_ = file_format(name)
    if format_ in _READ_ONLY:
        writable = {extension: known for extension, known in _FORMATS.items() if known not in _READ_ONLY}
        raise AkkioParameterError(
            f"{printable(name)}: predictions cannot be written as {format_}. The file extension of the output must be "
            f"{_extensions(writable)}."
        )
    return format_


def compression_of(name: str) -> Compression | None:
    """Return the compression that the extension names, or ``None``."""
    return next((compression for compression in Compression if name.lower().endswith(compression)), None)


def _extensions(formats: dict[str, FileFormat]) -> str:
    plain = [extension for extension in formats if compression_of(extension) is None]
    compressible = [extension for extension in plain if extension in _COMPRESSIBLE]
    return f"one of {', '.join(plain)}; {', '.join(compressible)} may be followed by {', '.join(Compression)}"
