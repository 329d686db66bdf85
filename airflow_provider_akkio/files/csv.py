"""Rows of a CSV file (RFC 4180: one delimiter, double quotes, LF or CRLF)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE
from airflow_provider_akkio.files.options import ReadOptions
from airflow_provider_akkio.files.source import TableRows

_DELIMITERS = {",": "','", ";": "';'", "\t": r"'\t' (a tab)", "|": "'|'"}


class CsvRows(TableRows):
    """The rows of a CSV file. A cell is its text.

    :param lines: the lines of the file.
    :param options: how to read it.
    :param default_delimiter: delimiter if the options have none. A file that then has only one column, and in each
        line the same number of another delimiter, is rejected.
    """

    unit = "line"

    def __init__(self, lines: Iterator[str], options: ReadOptions, default_delimiter: str = ",") -> None:
        delimiter = options.delimiter or default_delimiter
        self._other_delimiters = _DelimiterCount(delimiter, is_active=options.delimiter is None)
        try:
            super().__init__(_parse_records(self._other_delimiters.observe(lines), delimiter), options)
        except AkkioSourceFileError as error:
            raise self._other_delimiters.explain(error) from None
        if self.width > 1:
            self._other_delimiters.stop()

    def rows(self) -> Iterator[tuple[int, list[str], int]]:
        """Yield the line number, the selected cells and the number of characters of each row."""
        try:
            yield from super().rows()
        except AkkioSourceFileError as error:
            raise self._other_delimiters.explain(error) from None
        if self._other_delimiters.detected is not None:
            raise self._other_delimiters.explain(AkkioSourceFileError())


class _DelimiterCount:
    """Counts of the other delimiters that all lines so far have in common."""

    def __init__(self, delimiter: str, *, is_active: bool) -> None:
        self._others = [other for other in _DELIMITERS if is_active and other != delimiter]
        self._counts: dict[str, int] | None = None

    @property
    def detected(self) -> str | None:
        """The delimiter that the file probably has."""
        return max(self._counts, key=self._counts.__getitem__) if self._counts else None

    def stop(self) -> None:
        """Stop counting, because the file has several columns."""
        self._others, self._counts = [], None

    def observe(self, lines: Iterator[str]) -> Iterator[str]:
        """Pass lines through and count; reject Excel's line ``sep=;``."""
        for number, line in enumerate(lines, 1):
            if number == 1 and line.lower().startswith("sep=") and len(line.strip("\r\n")) == 5:
                raise AkkioSourceFileError(
                    f"line 1 names the delimiter {line[4]!r} for Excel. Delete the line, and set delimiter={line[4]!r}"
                )
            if self._others and not line.isspace():
                text = re.sub(r'"[^"]*+"', "", line)
                counts = {other: count for other in self._others if (count := text.count(other))}
                known = counts if self._counts is None else self._counts
                self._counts = {other: count for other, count in counts.items() if known.get(other) == count}
                self._others = list(self._counts)
            yield line

    def explain(self, error: AkkioSourceFileError) -> AkkioSourceFileError:
        """Return an error that names the detected delimiter; without a detected delimiter, return the error itself."""
        if self.detected is None:
            return error
        return AkkioSourceFileError(
            f"the file has one column, but its delimiter seems to be {_DELIMITERS[self.detected]}. "
            "Set delimiter to this character, or to the usual one if the file has one column"
        )


def _parse_records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str], int]]:
    """Yield the first line number, the cells and the number of characters of each record."""
    first_line, size = 1, 0
    record: list[str] = []

    def measured_lines() -> Iterator[str]:
        nonlocal size
        for line in lines:
            size += len(line)
            if size > MAX_ROW_SIZE:
                raise AkkioSourceFileError(
                    f"line {first_line} begins a row larger than 4 MiB, or has a quote that is not closed"
                )
            record.append(line)
            yield line

    quoted_cell = re.compile(rf'(^|{re.escape(delimiter)})"(?:[^"]|"")*+"')
    space_before_quote = re.compile(rf'(?:^|{re.escape(delimiter)})[ \t]+"')
    reader = csv.reader(measured_lines(), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(' "' in line or '\t"' in line for line in record):
                text = quoted_cell.sub(r"\1", "".join(record))
                if space_before_quote.search(text):
                    raise AkkioSourceFileError(
                        f"line {first_line} has a space between a delimiter and a quote; remove the space"
                    )
            yield first_line, cells, size
            first_line, size = reader.line_num + 1, 0
            record.clear()
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
