"""What a cell means: a number, a text or nothing.

A chunk of a column is taken at once where that is possible, since a call for each of ten million cells takes longer
than all else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

Value = str | int | float | None
"""A cell as it goes to Akkio."""

Column = Sequence[Any]
"""Some cells of one field, one beneath the other."""

Converter = Callable[[Column], Sequence[Value]]
"""Makes values of the cells of one field."""

MOST_DIGITS = 15
"""Most digits of an integer that is a number: with more of them, a reader that knows only doubles would change it."""

_NUMBER = re.compile(r"\s*+(-?(?:0|[1-9][0-9]*+))(\.[0-9]++)?+([eE][+-]?[0-9]++)?+\s*+")
_BLANK_OR_LIKE_A_NUMBER = re.compile(r"\0\s*+(?:-?[0-9][0-9.]*+(?:[eE][+-]?[0-9]++)?+\s*+)?+(?=\0)")
_OF_NUMBERS = b"0123456789.-+eE, "
_BEYOND = 10.0**MOST_DIGITS


def value_of(text: str) -> Value:
    """Return what one cell of text means: a number if it is written as a plain one, ``None`` if it is blank.

    ``007`` stays text, as an id does, and so does what a double cannot hold.

    :param text: the cell.
    """
    written = _NUMBER.fullmatch(text)
    if written is None:
        return text if text and not text.isspace() else None
    whole, fraction, exponent = written.groups()
    if fraction is None and exponent is None:
        return int(whole) if len(whole.lstrip("-")) <= MOST_DIGITS else text
    number = float(text)
    return number if math.isfinite(number) else text


def values_of_texts(column: Sequence[str]) -> Sequence[Value]:
    """Return what :func:`value_of` says of each cell.

    :param column: cells of one field, none of which has a NUL character.
    """
    numbers = plain_numbers(column)
    if numbers is not None:
        return numbers
    if _BLANK_OR_LIKE_A_NUMBER.search("\0" + "\0".join(column) + "\0") is None:
        return column
    return list(map(value_of, column))


def plain_numbers(column: Sequence[str]) -> list[Value] | None:
    """Return the numbers that the cells are, and ``None`` for empty ones.

    They are read as one list in JSON, whose numbers are the plain ones.

    :param column: cells of one field.
    :return: ``None`` as well if they cannot be read at once: some may be numbers all the same.
    """
    joined = ",".join(column)
    if not joined.isascii() or joined.encode().translate(None, _OF_NUMBERS):
        return None
    is_sparse = "" in column
    try:
        values: list[Value] = json.loads(f"[{','.join([cell or 'null' for cell in column]) if is_sparse else joined}]")
    except ValueError:
        return None
    present: list[Any] = [value for value in values if value is not None] if is_sparse else values
    # A cell with a comma in it would count as two.
    if len(values) != len(column) or (present and not (min(present) > -_BEYOND and max(present) < _BEYOND)):
        return None
    return values


def texts_of_texts(column: Sequence[str]) -> Sequence[Value]:
    """Return the cells as they are, and ``None`` for blank ones.

    :param column: cells of one field.
    """
    return [cell if cell and not cell.isspace() else None for cell in column]


def text_of(value: Value) -> str | None:
    """Return a value as text, numbers as JSON writes them.

    :param value: a cell as it would go to Akkio.
    """
    return value if value is None or isinstance(value, str) else json.dumps(value)
