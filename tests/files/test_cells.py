"""What a cell of text means."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from airflow_provider_akkio.files.cells import value_of, values_of_texts

DIGITS = some.text("0123456789.-+eE, ", max_size=20)
NUMBERS = some.one_of(some.integers().map(str), some.floats().map(repr), some.sampled_from(["", " ", " 7 ", "-0"]))
CELLS = some.one_of(NUMBERS, DIGITS, some.text(some.characters(exclude_characters="\0"), max_size=8))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-12", -12),
        (" 12\t", 12),
        ("1.10", 1.1),
        ("-0.5e-3", -0.0005),
        ("1e5", 100000.0),
        ("999999999999999", 999999999999999),
        ("1000000000000000.0", 1e15),
        ("", None),
        (" \u00a0\t", None),
    ],
)
def test_a_plain_number_is_one_and_a_blank_cell_is_nothing(text: str, value: Any) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)
    assert list(values_of_texts([text, text])) == [value, value]


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "-01",
        "+5",
        ".5",
        "5.",
        "1e400",
        "1000000000000000",
        "1_000",
        "nan",
        "Infinity",
        "0x1",
        "1,5",
        "- 1",
        "٣",
        "true",
        "null",
        "1 2",
        "1-2",
        "e5",
        "9" * 5000,
    ],
)
def test_all_else_stays_text(text: str) -> None:
    assert value_of(text) == text
    assert list(values_of_texts([text])) == [text]
    assert list(values_of_texts(["1", text, ""])) == [1, text, None]


@given(some.lists(CELLS, min_size=1, max_size=6))
@example(["1,2", ""])
@example(["[1", "2]"])
@example(["", ""])
def test_a_column_taken_at_once_says_what_each_cell_says(column: list[str]) -> None:
    values = list(values_of_texts(column))
    assert values == [value_of(cell) for cell in column]
    assert [type(value) for value in values] == [type(value_of(cell)) for cell in column]


@given(CELLS)
def test_a_text_is_unchanged_and_a_number_is_what_it_says(text: str) -> None:
    value = value_of(text)
    if isinstance(value, str):
        assert value == text
        assert not text.isspace()
    elif value is None:
        assert not text.strip()
    else:
        assert value == float(text)
        assert math.isfinite(value)
