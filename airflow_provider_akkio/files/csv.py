"""Rows of a CSV file (RFC 4180: commas, double quotes, LF or CRLF)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE


class CsvRows:
    """The rows of a CSV file. A cell is its text."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._records = _parse_records(lines)
        _, header, _ = next(self._records, (1, None, 0))
        if header is None:
            raise AkkioSourceFileError("the file is empty")
        if not header:
            raise AkkioSourceFileError("line 1 is blank; it must have the field names")
        self.fields = tuple(header)

    def rows(self) -> Iterator[tuple[list[str], int]]:
        """Yield the cells and the number of characters of each row."""
        width = len(self.fields)
        blank_line = 0
        for line, cells, size in self._records:
            if len(cells) == width and not blank_line:
                yield cells, size
            elif not cells:
                blank_line = blank_line or line
            elif blank_line:
                raise AkkioSourceFileError(f"line {blank_line} is blank, but rows follow")
            else:
                unit = "cell" if len(cells) == 1 else "cells"
                raise AkkioSourceFileError(f"line {line} has {len(cells)} {unit}, but the header has {width}")

    @staticmethod
    def to_texts(cells: Sequence[str]) -> list[str | None]:
        """Return the cells for Akkio: the text in the file, and ``None`` for an empty cell."""
        return [cell or None for cell in cells]


def _parse_records(lines: Iterator[str]) -> Iterator[tuple[int, list[str], int]]:
    """Yield the first line number, the cells and the number of characters of each record."""
    first_line, size = 1, 0

    def measured_lines() -> Iterator[str]:
        nonlocal size
        for line in lines:
            size += len(line)
            if size > MAX_ROW_SIZE:
                raise AkkioSourceFileError(
                    f"line {first_line} begins a row larger than 4 MiB, or has a quote that is not closed"
                )
            yield line

    reader = csv.reader(measured_lines(), strict=True)
    try:
        for cells in reader:
            yield first_line, cells, size
            first_line, size = reader.line_num + 1, 0
    except csv.Error as error:
        raise AkkioSourceFileError(_explain(error, first_line)) from None


def _explain(error: csv.Error, line: int) -> str:
    message = str(error)
    if "field larger" in message:
        limit = f"{csv.field_size_limit():,}"
        return f"line {line} has a cell with more than {limit} characters, or a quote that is not closed"
    if "unexpected end" in message:
        return f"line {line} has a quote that is not closed before the end of the file"
    if "new-line" in message:
        return f"line {line} has a carriage return without a line feed; lines must end in LF or CRLF"
    return f"line {line} has text after a closing quote"
