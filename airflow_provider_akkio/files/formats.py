"""Which formats a file of rows may have; its name's ending says which it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError


class Format(StrEnum):
    """How the rows stand in a file."""

    CSV = "CSV"
    JSON_LINES = "JSON Lines"
    PARQUET = "Parquet"


@dataclass(frozen=True, slots=True)
class FileKind:
    """The format of a file, and whether all of it is compressed.

    :param format: how the rows stand in it.
    :param is_gzipped: whether gzip is around it.
    """

    format: Format
    is_gzipped: bool


_KINDS = {
    ".csv": FileKind(Format.CSV, is_gzipped=False),
    ".csv.gz": FileKind(Format.CSV, is_gzipped=True),
    ".jsonl": FileKind(Format.JSON_LINES, is_gzipped=False),
    ".jsonl.gz": FileKind(Format.JSON_LINES, is_gzipped=True),
    ".ndjson": FileKind(Format.JSON_LINES, is_gzipped=False),
    ".ndjson.gz": FileKind(Format.JSON_LINES, is_gzipped=True),
    ".parquet": FileKind(Format.PARQUET, is_gzipped=False),
}


def kind_of(name: str) -> FileKind:
    """Return the kind of a file.

    :param name: its name, or a path or URL that ends with it.
    :raises AkkioParameterError: if its ending is none of those that are known.
    """
    for ending, kind in _KINDS.items():
        if name.lower().endswith(ending):
            return kind
    raise AkkioParameterError(f"{printable(name)}: a file of rows must end in one of {', '.join(_KINDS)}.")
