"""Rows from JSON Lines: an object on each line, whose values are scalars."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.files.cells import Column, Converter, Value, text_of
from airflow_provider_akkio.files.lines import Lines
from airflow_provider_akkio.files.sources import Source, refuse

_SCALARS = frozenset({str, int, float, bool, type(None)})


class JsonLinesSource(Source):
    """A file of JSON Lines; its first object names the fields.

    :param name: the file's name, as messages have it.
    :param lines: its lines.
    """

    def __init__(self, name: str, lines: Lines) -> None:
        self._numbered_lines = ((number, line) for number, line in enumerate(lines, 1) if not line.isspace())
        self._lines = lines
        number, line = next(self._numbered_lines, (0, ""))
        if not number:
            refuse(name, "the file is empty")
        self._first = (number, line)
        self.name = name
        names: list[str] = []
        self._object(number, line, names)
        if not names:
            refuse(name, f"line {number} names no fields")
        super().__init__(name, names)

    def rows(self) -> Iterator[tuple[Sequence[Any], int]]:
        """Yield the scalars of each row, and how many characters its line has.

        :raises AkkioSourceFileError: at the first row that is wrong.
        """
        known, fields = frozenset(self.fields), self.fields
        for number, line in self._all_lines():
            record = self._object(number, line)
            if not known.issuperset(record):
                other = next(field for field in record if field not in known)
                refuse(
                    self.name, f"line {number} has the field '{printable(other)}', which the first row does not have"
                )
            yield list(map(record.get, fields)), len(line)

    def _all_lines(self) -> Iterator[tuple[int, str]]:
        yield self._first
        for number, line in self._numbered_lines:
            self._lines.record_began = number
            yield number, line

    def _object(self, number: int, line: str, names: list[str] | None = None) -> dict[str, Any]:
        """Return the object on a line, and add the names of its values, even those that it has twice."""
        try:
            record = json.loads(line) if names is None else json.loads(line, object_pairs_hook=_noting(names))
        except (ValueError, RecursionError):
            refuse(self.name, f"line {number} is not JSON")
        if not isinstance(record, dict):
            refuse(self.name, f"line {number} is not a JSON object")
        if not _SCALARS.issuperset(map(type, record.values())):
            nested = next(field for field, value in record.items() if type(value) not in _SCALARS)
            refuse(self.name, f"line {number} has a list or an object in the field '{printable(nested)}'")
        if "\\u" in line:
            self._check_escapes(number, record)
        return record

    def _check_escapes(self, number: int, record: dict[str, Any]) -> None:
        for text in (*record, *(value for value in record.values() if isinstance(value, str))):
            if "\0" in text:
                refuse(self.name, f"line {number} has a NUL character, \\u0000")
            try:
                text.encode()
            except UnicodeEncodeError:
                refuse(self.name, f"line {number} has half of a surrogate pair, which is no character")

    def converter(self, position: int) -> Converter:  # noqa: ARG002  # in JSON all cells are alike
        """Return what makes values of the cells of one field.

        :param position: the field's place among the fields.
        """
        return values_of_scalars

    def text_converter(self, position: int) -> Converter:  # noqa: ARG002
        """Return what makes texts of the cells of one field, even where they are numbers.

        :param position: the field's place among the fields.
        """
        return texts_of_scalars


def values_of_scalars(column: Column) -> Sequence[Value]:
    """Return the cells as they go to Akkio: truth values as text, and nothing for what JSON cannot say.

    :param column: scalars of one field.
    """
    types = set(map(type, column))
    if types <= {int, type(None)} or (types == {str} and "" not in column):
        return column
    return [_value_of(cell) for cell in column]


def texts_of_scalars(column: Column) -> Sequence[Value]:
    """Return the cells as texts, and ``None`` for blank ones.

    :param column: scalars of one field.
    """
    texts = [text_of(_value_of(cell)) for cell in column]
    return [text if text is None or not text.isspace() else None for text in texts]


def _value_of(cell: Any) -> Value:
    if cell is None or cell == "":
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    value: Value = cell
    return value


def _noting(names: list[str]) -> Any:
    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # The outermost object comes last.
        names[:] = [name for name, _ in pairs]
        return dict(pairs)

    return noted
