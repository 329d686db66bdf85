"""The text of values of Python, numpy and pandas."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_akkio.api.cells import cell_to_text, is_exact_as_float, rows_to_text
from airflow_provider_akkio.exceptions import AkkioParameterError


class Color(str, enum.Enum):  # noqa: UP042 - str() of a StrEnum is its value, of this one its name
    RED = "red"


@pytest.mark.parametrize(
    ("number", "is_exact"),
    [
        (0.1, True),
        (-(2**53), True),
        (2**53 + 1, False),
        (123456789012345678, False),
        (2**70, True),
        (1180591620717411300000, True),
        (1180591620717411300001, False),
        (-(10**400), False),
    ],
)
def test_number_that_loses_digits_as_float_is_recognized(number: float, is_exact: bool) -> None:
    assert is_exact_as_float(number) is is_exact


UTC_PLUS_2 = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.10", "1.10"),
        (" 007 ", " 007 "),
        ("2E3", "2E3"),
        (np.str_("x"), "x"),
        (Color.RED, "red"),
        (True, "True"),
        (np.bool_(False), "False"),
        (10**25, "1" + "0" * 25),
        (np.int64(2**62), "4611686018427387904"),
        (np.array(5), "5"),
        (42.0, "42.0"),
        (1e22, "1e+22"),
        (np.float32(0.1), "0.1"),
        (np.float64(0.1), "0.1"),
        (-math.inf, "-inf"),
        (Decimal("10.00"), "10.00"),
        (Decimal(12345678901234567890), "12345678901234567890"),
        (Decimal("1E+3"), "1000"),
        (Decimal("Infinity"), "inf"),
        (datetime.date(2026, 11, 27), "2026-11-27"),
        (datetime.time(1, 2), "01:02:00"),
        (datetime.datetime(2026, 11, 27, 1, 2, 3, tzinfo=UTC_PLUS_2), "2026-11-27T01:02:03+02:00"),
        (pd.Timestamp("2026-11-27 01:02:03.000000004+02:00"), "2026-11-27T01:02:03.000000004+02:00"),
        (np.datetime64("2026-11-27T01:02:03"), "2026-11-27T01:02:03"),
        (np.datetime64("2026-11-27T01:02:03", "ns"), "2026-11-27T01:02:03"),
        (np.datetime64("2026-11-27T01:02:03.5", "ms"), "2026-11-27T01:02:03.500000"),
        (np.datetime64("2026-11-27T01:02:03.0000004", "ns"), "2026-11-27T01:02:03.000000400"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
    ids=repr,
)
def test_cell_has_one_spelling(value: Any, text: str) -> None:
    assert cell_to_text(value) == text


@pytest.mark.parametrize(
    "value",
    [None, "", math.nan, Decimal("NaN"), np.float64("nan"), pd.NA, pd.NaT, np.datetime64("NaT")],
    ids=repr,
)
def test_missing_value_is_null(value: Any) -> None:
    assert cell_to_text(value) is None


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, b"x", object(), 1j, np.array([1, 2]), np.timedelta64(1, "s"), "\ud800"], ids=ascii
)
def test_unsupported_value_names_its_row_and_field(value: Any) -> None:
    with pytest.raises(AkkioParameterError, match="Row 2, field 'b': "):
        rows_to_text([{"b": 1}, {"a": 1, "b": value}])


@pytest.mark.parametrize("row", [["a"], {1: "a"}, {"": "a"}, {"\ud800": "a"}], ids=ascii)
def test_row_that_does_not_map_field_names_is_rejected(row: Any) -> None:
    with pytest.raises(AkkioParameterError, match="Row 1"):
        rows_to_text([row])


@pytest.mark.parametrize("rows", [None, 1])
def test_value_that_has_no_rows_is_rejected(rows: Any) -> None:
    with pytest.raises(AkkioParameterError, match="rows must be mappings"):
        rows_to_text(rows)


def test_data_frame_becomes_rows() -> None:
    frame = pd.DataFrame(
        {
            "float": [1.5, None],
            "flag": [True, False],
            "when": pd.to_datetime(["2026-01-01", None]),
            "integer": pd.array([2**60, None], dtype="Int64"),
            "text": ["a", None],
        }
    )
    assert rows_to_text(frame.to_dict("records")) == [
        {"float": "1.5", "flag": "True", "when": "2026-01-01T00:00:00", "integer": str(2**60), "text": "a"},
        {"float": None, "flag": "False", "when": None, "integer": None, "text": None},
    ]


@given(st.floats(allow_nan=False))
def test_float_survives_its_text(value: float) -> None:
    assert float(str(cell_to_text(value))) == value


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False))
def test_exact_number_survives_its_text(value: Any) -> None:
    assert Decimal(str(cell_to_text(value))) == value
