"""Rows of a JSON Lines file: one object with scalar values per line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioSourceFileError


class JsonNumber(str):
    """A JSON number, spelled as in the file: ``1.10`` and integers with 20 digits keep all digits."""

    __slots__ = ()


Scalar = str | JsonNumber | bool | float | None
"""A cell. A ``float`` is infinite; other numbers are :class:`JsonNumber`."""

_SCALAR_TYPES = frozenset({str, JsonNumber, bool, float, type(None)})
_DECODER = json.JSONDecoder(
    parse_int=JsonNumber,
    parse_float=JsonNumber,
    parse_constant={"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}.__getitem__,
    object_pairs_hook=tuple,  # differs from an array, which is a list, and keeps duplicate keys
)


class JsonLinesRows:
    """The rows of a JSON Lines file. The first object defines the fields. Blank lines are ignored."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._numbered_lines = ((number, line) for number, line in enumerate(lines, 1) if not line.isspace())
        try:
            self._first = next(self._numbered_lines)
        except StopIteration:
            raise AkkioSourceFileError("the file is empty") from None
        self.fields = tuple(_parse_object(*self._first))
        if not self.fields:
            raise AkkioSourceFileError(f"line {self._first[0]} has no fields")

    def rows(self) -> Iterator[tuple[list[Scalar], int]]:
        """Yield the cells and the number of characters of each row. A missing field is null."""
        known = frozenset(self.fields)
        for number, line in chain([self._first], self._numbered_lines):
            record = _parse_object(number, line)
            if not known.issuperset(record):
                unknown = next(field for field in record if field not in known)
                raise AkkioSourceFileError(
                    f"line {number} has the field '{printable(unknown)}', which is missing in the first row"
                )
            yield list(map(record.get, self.fields)), len(line)

    @staticmethod
    def to_texts(cells: Sequence[Scalar]) -> list[str | None]:
        """Return the cells for Akkio: numbers as spelled in the file, ``True``, ``False``, ``inf``; NaN is ``None``."""
        return [None if cell is None or cell == "" else str(cell) for cell in cells]


def _parse_object(number: int, line: str) -> dict[str, Scalar]:
    try:
        pairs = _DECODER.decode(line)
    except (json.JSONDecodeError, RecursionError):
        raise AkkioSourceFileError(f"line {number} is not valid JSON") from None
    if not isinstance(pairs, tuple):
        raise AkkioSourceFileError(f"line {number} is not a JSON object")
    record: dict[str, Any] = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in record if names.count(name) > 1)
        raise AkkioSourceFileError(f"line {number} has the field '{printable(duplicate)}' twice")
    if not _SCALAR_TYPES.issuperset(map(type, record.values())):
        nested = next(field for field, value in record.items() if type(value) not in _SCALAR_TYPES)
        raise AkkioSourceFileError(f"line {number} has an array or an object in the field '{printable(nested)}'")
    if "\\u" in line:
        _check_escapes(number, record)
    return record


def _check_escapes(number: int, record: dict[str, Scalar]) -> None:
    text = "".join([*record, *(value for value in record.values() if isinstance(value, str))])
    if "\0" in text:
        raise AkkioSourceFileError(f"line {number} has a NUL character (\\u0000)")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise AkkioSourceFileError(f"line {number} has half of a surrogate pair, which is not a character") from None
