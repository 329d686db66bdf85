"""Rows of a JSON Lines file (one object per line) or of a JSON file (an array of objects), with scalar values.

The standard library decodes the objects, because it passes on the spelling of numbers. Streaming libraries such as
ijson convert numbers, so that ``1E2`` becomes ``1E+2``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files import MAX_FIELDS, MAX_ROW_SIZE
from airflow_provider_akkio.files.options import SELECTION_HINT, ReadOptions
from airflow_provider_akkio.files.source import JsonNumber, RowSource, check_row_size, unsupported_value

Scalar = str | JsonNumber | bool | float | None
"""A cell. A ``float`` is infinite; other numbers are :class:`JsonNumber`."""

_SCALAR_TYPES = frozenset({str, JsonNumber, bool, float, type(None)})
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(
    parse_int=JsonNumber,
    parse_float=JsonNumber,
    parse_constant={"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}.__getitem__,
    object_pairs_hook=tuple,  # differs from an array, which is a list, and keeps duplicate keys
)


JsonValue = tuple[int, Any, int, bool]
r"""A line, or an element of an array: its number, its value (for an object, a tuple of pairs), its number of
characters, and whether its text contains ``\u``, and so possibly characters that a file cannot contain."""


class JsonRows(RowSource):
    """The rows of JSON objects. The fields are those of all objects; in an object, a missing field is null.

    :param values: the objects.
    :param options: which fields to read.
    :param unit: what the numbers count.
    :param fields: the fields that are known from reading the file before.
    """

    def __init__(
        self, values: Iterator[JsonValue], options: ReadOptions, unit: str, fields: Sequence[str] = ()
    ) -> None:
        self.unit = unit
        self.fields = tuple(fields)
        self._values = values
        self._options = options
        self._seen: dict[str, None] = dict.fromkeys(fields)

    def rows(self) -> Iterator[tuple[int, list[Scalar], int]]:
        """Yield the number, the selected cells and the number of characters of each row."""
        is_empty = True
        for number, pairs, size, has_escapes in self._values:
            is_empty = False
            place = f"{self.unit} {number}"
            record = self._parse_object(place, pairs)
            if has_escapes:
                _check_characters(place, record)
            yield number, list(map(record.get, self.fields)), size
        if not is_empty:
            self._options.check_known(tuple(self._seen))
            if not self.fields:
                raise AkkioSourceFileError("no field is left, because of columns or exclude_columns")

    def _parse_object(self, place: str, pairs: Any) -> dict[str, Scalar]:
        if not isinstance(pairs, tuple):
            raise AkkioSourceFileError(f"{place} is not a JSON object")
        record: dict[str, Any] = dict(pairs)
        if len(record) != len(pairs):
            names = [name for name, _ in pairs]
            duplicate = next(name for name in record if names.count(name) > 1)
            raise AkkioSourceFileError(f"{place} has the field '{printable(duplicate)}' twice")
        if not record.keys() <= self._seen.keys():
            self._add_fields(place, record)
        if not self._options.selects_all:
            record = {name: value for name, value in record.items() if self._options.selects(name)}
        if not _SCALAR_TYPES.issuperset(map(type, record.values())):
            nested = next(name for name, value in record.items() if type(value) not in _SCALAR_TYPES)
            raise unsupported_value(place, nested, "an array or an object")
        return record

    def _add_fields(self, place: str, names: Iterable[str]) -> None:
        for name in names:
            if name in self._seen:
                continue
            if self._options.selects(name):
                if not name.strip():
                    raise AkkioSourceFileError(f"{place} has a field without a name. {SELECTION_HINT}")
                if len(self.fields) == MAX_FIELDS:
                    raise AkkioSourceFileError(
                        f"{place} has the field '{printable(name)}', but the file already has {MAX_FIELDS:,} fields. "
                        "If its keys are data, change the file; otherwise set columns"
                    )
                self.fields = (*self.fields, name)
            elif len(self._seen) >= MAX_FIELDS:  # only for the message about a missing field
                continue
            self._seen[name] = None


def parse_lines(lines: Iterator[str]) -> Iterator[JsonValue]:
    """Yield the value of each line, except blank lines."""
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        if number == 1 and line.lstrip()[0] == "[":
            raise AkkioSourceFileError(
                "line 1 is not a JSON object; a file with an array must have the extension .json"
            )
        try:
            value = _DECODER.decode(line)
        except (json.JSONDecodeError, RecursionError):
            raise AkkioSourceFileError(f"line {number} is not valid JSON") from None
        yield number, value, len(line), "\\u" in line


def parse_array(blocks: Iterator[str]) -> Iterator[JsonValue]:
    """Yield each element of an array of objects."""
    text = _Text(blocks)
    if text.next_character() != "[":
        raise AkkioSourceFileError(
            "the file is not a JSON array of objects. With pandas, use orient='records'. "
            "A file with one object per line must have the extension .jsonl"
        )
    text.position += 1
    number, is_end = 0, text.next_character() == "]"
    text.position += is_end
    while not is_end:
        number += 1
        yield text.decode_object(number)
        separator = text.next_character()
        if separator not in (",", "]"):
            raise AkkioSourceFileError(f"after row {number}, a comma or the end of the array is missing")
        is_end = separator == "]"
        text.position += 1
    if text.next_character():
        raise AkkioSourceFileError(f"text follows the end of the array, after row {number}")


class _Text:
    """A text of which only the part that is being decoded is in memory."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self._buffer = ""
        self.position = 0

    def next_character(self) -> str:
        """Skip white space and return the next character, or the empty text at the end."""
        while True:
            self.position = _SPACE.match(self._buffer, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self._buffer) or not self._read():
                return self._buffer[self.position : self.position + 1]

    def decode_object(self, number: int) -> JsonValue:
        """Decode the object at the position."""
        if self.next_character() != "{":
            raise AkkioSourceFileError(f"row {number} is not a JSON object")
        begin = self.position
        try:
            value, self.position = _DECODER.raw_decode(self._buffer, begin)
        except RecursionError:
            raise AkkioSourceFileError(f"row {number} is not valid JSON") from None
        except json.JSONDecodeError:
            if len(self._buffer) - begin > MAX_ROW_SIZE:
                raise AkkioSourceFileError(f"row {number} is larger than 4 MiB, or is not valid JSON") from None
            # Twice as much text for each new attempt, so that a large object is decoded in linear time.
            if not self._read(len(self._buffer) - begin):
                raise AkkioSourceFileError(f"row {number} is not valid JSON") from None
            return self.decode_object(number)
        check_row_size("row", number, self.position - begin)
        has_escapes = self._buffer.find("\\u", begin, self.position) >= 0
        return number, value, self.position - begin, has_escapes

    def _read(self, size: int = 1) -> bool:
        """Add text to the buffer, and remove what is before the position; return whether there was any."""
        parts = [self._buffer[self.position :]]
        for block in self._blocks:
            parts.append(block)
            size -= len(block)
            if size <= 0:
                break
        self._buffer, self.position = "".join(parts), 0
        return len(parts) > 1


def _check_characters(place: str, record: dict[str, Scalar]) -> None:
    text = "".join([*record, *(value for value in record.values() if isinstance(value, str))])
    if "\0" in text:
        raise AkkioSourceFileError(f"{place} has a NUL character (\\u0000)")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise AkkioSourceFileError(f"{place} has half of a surrogate pair, which is not a character") from None
