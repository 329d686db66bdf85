"""Rows from CSV: comma separated, double quotes, as RFC 4180 has it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import NoReturn

from airflow_provider_akkio.files.cells import Column, Converter, Value, plain_numbers, texts_of_texts, values_of_texts
from airflow_provider_akkio.files.lines import Lines
from airflow_provider_akkio.files.sources import LARGEST, Source, refuse


class DelimitedSource(Source):
    """A CSV file; a record over several lines is named by the line at which it begins.

    :param name: the file's name, as messages have it.
    :param lines: its lines.
    """

    def __init__(self, name: str, lines: Lines) -> None:
        self._lines = lines
        self._reader = csv.reader(lines, strict=True)
        try:
            header = next(self._reader)
        except StopIteration:
            refuse(name, "the file is empty")
        except csv.Error as error:
            _refuse_record(name, 1, error)
        if not header:
            refuse(name, "line 1 is blank, where the names of the fields should be")
        super().__init__(name, header)

    def rows(self) -> Iterator[tuple[Sequence[str], int]]:
        """Yield the cells of each row, and how many characters they have.

        :raises AkkioSourceFileError: at the first row that is wrong.
        """
        try:
            yield from self._checked_rows()
        except csv.Error as error:
            _refuse_record(self.name, self._lines.record_began, error)

    def _checked_rows(self) -> Iterator[tuple[Sequence[str], int]]:
        width, lines, reader = len(self.fields), self._lines, self._reader
        lines.record_began = reader.line_num + 1
        for row in reader:
            if len(row) != width:
                if not row and self._is_end():
                    return
                _refuse_width(self.name, lines.record_began, len(row), width)
            size = len("".join(row))
            if size > LARGEST:
                refuse(self.name, f"the row that begins at line {lines.record_began} is larger than 4 MiB")
            yield row, size
            lines.record_began = reader.line_num + 1

    def _is_end(self) -> bool:
        return not any(self._reader)

    def converter(self, position: int) -> Converter:  # noqa: ARG002  # in CSV all cells are alike
        """Return what makes values of the cells of one field.

        :param position: the field's place among the fields.
        """
        return values_of_texts

    def text_converter(self, position: int) -> Converter:  # noqa: ARG002
        """Return what makes texts of the cells of one field, even where they are numbers.

        :param position: the field's place among the fields.
        """
        return texts_of_texts

    def numbers(self, position: int, column: Column) -> Sequence[Value] | None:
        """Return the values of a field if none of them is text.

        :param position: the field's place among the fields.
        :param column: cells of the field.
        """
        numbers = plain_numbers(column)
        return super().numbers(position, column) if numbers is None else numbers


def _refuse_width(name: str, line: int, found: int, expected: int) -> NoReturn:
    if not found:
        refuse(name, f"line {line} is blank, with rows after it")
    refuse(name, f"line {line} has {found} {'cell' if found == 1 else 'cells'}, the header {expected}")


def _refuse_record(name: str, line: int, error: csv.Error) -> NoReturn:
    """Say in other words what :mod:`csv` found: its own know neither the file nor where the record began."""
    found = str(error)
    if "field larger" in found:
        limit = f"{csv.field_size_limit():,}"
        refuse(name, f"the record that begins at line {line} has a cell of over {limit} characters, or an open quote")
    if "unexpected end" in found:
        refuse(name, f"the record that begins at line {line} has a quote that is not closed by the end of the file")
    if "new-line" in found:
        refuse(name, f"line {line} has a carriage return without a line feed; lines must end in LF or CRLF")
    refuse(name, f"the record that begins at line {line} has text after a closing quote")
