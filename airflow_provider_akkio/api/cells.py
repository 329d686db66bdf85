"""The text of a cell: every value that goes to Akkio has one spelling, whatever its source.

Akkio receives each cell as text or null, and casts it to the type of its field. A value from a typed source (Parquet,
Excel, a database, a pandas DataFrame, Python) therefore has the spelling that pandas gives it in a CSV file, except
that dates and times are ISO 8601.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from functools import singledispatch
from typing import Any
from uuid import UUID

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError

_MAX_EXACT_INTEGER = 2**53


@singledispatch
def cell_to_text(value: Any) -> str | None:
    """Return the text of a cell, or ``None`` for a missing value.

    - Text remains as it is; an empty text is missing.
    - Integers and decimals keep all digits. A float is the shortest text that becomes the same float again.
    - Booleans are ``True`` and ``False``. Infinities are ``inf`` and ``-inf``.
    - Dates and times are ISO 8601, with their offset if they have one.
    - ``None``, NaN, and the missing values of pandas are missing.

    :param value: a scalar of Python, numpy or pandas.
    :raises ValueError: if the value is of another type, such as a list, or contains a lone surrogate.
    """
    if getattr(value, "shape", None) == () and hasattr(value, "dtype"):
        return _numpy_scalar_to_text(value)
    if type(value).__name__ == "NAType":  # missing value of pandas, which may not be installed
        return None
    raise ValueError(f"a value of type {type(value).__name__} is not supported")


@cell_to_text.register
def _(value: None) -> None: ...


@cell_to_text.register
def _(value: str) -> str | None:
    return _valid_text(str.__str__(value))  # the value of an enumeration, not its name


@cell_to_text.register
def _(value: bool | UUID) -> str:
    return str(value)


@cell_to_text.register
def _(value: int) -> str:
    return int.__repr__(value)


@cell_to_text.register
def _(value: float) -> str | None:
    return None if math.isnan(value) else float.__repr__(value)


@cell_to_text.register
def _(value: Decimal) -> str | None:
    if value.is_nan():
        return None
    return f"{value:f}" if value.is_finite() else cell_to_text(float(value))


@cell_to_text.register
def _(value: date | time) -> str | None:
    return None if str(value) == "NaT" else value.isoformat()


def is_exact_as_float(number: int | float) -> bool:
    """Return whether a number keeps its digits as a float; integers with more than 15 digits may not."""
    if isinstance(number, float) or abs(number) <= _MAX_EXACT_INTEGER:
        return True
    try:
        nearest = float(number)
    except OverflowError:
        return False
    # JavaScript writes 2**70 as 1180591620717411300000: the digits of the shortest text, then zeros.
    return number in (int(nearest), Decimal(float.__repr__(nearest)))


def _numpy_scalar_to_text(value: Any) -> str | None:
    match value.dtype.kind:
        case "f":  # the shortest text of a 32-bit float is shorter than that of the same 64-bit float
            return cell_to_text(float(str(value)))
        case "b" | "i" | "u" | "U":
            return cell_to_text(value.item())
        case "M":
            return None if str(value) == "NaT" else _with_fraction_of_python(str(value))
    raise ValueError(f"a value of type {type(value).__name__} is not supported")


def _with_fraction_of_python(text: str) -> str:
    """Return a time of numpy with a fraction of no, six or nine digits, as ``isoformat`` writes it."""
    begin, _, fraction = text.partition(".")
    digits = fraction.rstrip("0")
    if not digits:
        return begin
    return f"{begin}.{digits:0<6}" if len(digits) <= 6 else f"{begin}.{digits:0<9}"


def rows_to_text(rows: Iterable[Mapping[Any, Any]]) -> list[dict[str, str | None]]:
    """Return rows as they go to Akkio.

    :param rows: field name to value, such as ``DataFrame.to_dict("records")``.
    :raises AkkioParameterError: if a row is not a mapping of field names to supported values; the message names the row
        and the field.
    """
    if not isinstance(rows, Iterable):
        raise AkkioParameterError(f"rows must be mappings of field names to values, not {printable(repr(rows))}.")
    return [_row_to_text(number, row) for number, row in enumerate(rows, 1)]


def _row_to_text(number: int, row: Mapping[Any, Any]) -> dict[str, str | None]:
    if not isinstance(row, Mapping):
        raise AkkioParameterError(f"Row {number} must map field names to values, not {printable(repr(row))}.")
    texts: dict[str, str | None] = {}
    for field, value in row.items():
        try:
            texts[_valid_name(field)] = cell_to_text(value)
        except ValueError as error:
            raise AkkioParameterError(f"Row {number}, field {printable(repr(field))}: {error}.") from None
    return texts


def _valid_name(field: Any) -> str:
    if not isinstance(field, str) or not _valid_text(field):
        raise ValueError("a field name must be text that is not empty")
    return field


def _valid_text(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text contains a lone surrogate, which is not valid Unicode") from None
    return text or None
