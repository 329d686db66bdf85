"""Rows of JSON Lines files: texts, and errors with their line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.files.json_lines import JsonLinesRows
from tests.files.conftest import ErrorReader, FileMaker, column_of, rows_of


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("1", "1"),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("1e999", "1e999"),
        ("12345678901234567890", "12345678901234567890"),
        ("1" * 5000, "1" * 5000),
        ("true", "True"),
        ("false", "False"),
        ("null", None),
        ('""', None),
        ('" x "', " x "),
        ('"007"', "007"),
        ("NaN", None),
        ("-Infinity", "-inf"),
        (r'"\\u0000 \u00e9 \ud83d\ude00"', "\\u0000 é 😀"),
    ],
)
def test_scalar_is_sent_as_text(make_file: FileMaker, literal: str, text: str | None) -> None:
    [sent] = column_of(make_file("a.jsonl", f'{{"a": {literal}}}\n'.encode()))
    assert sent == text
    assert type(sent) in (str, type(None))


@settings(deadline=None)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_spelling(number: float) -> None:
    source = JsonLinesRows(iter([json.dumps({"a": number})]))
    assert [source.to_texts(cells) for cells, _ in source.rows()] == [[json.dumps(number)]]


def test_missing_field_is_null_and_blank_lines_are_ignored(make_file: FileMaker) -> None:
    path = make_file("a.ndjson", b'\xef\xbb\xbf\n{"a":1,"b":"x"}\r\n \n{"b":"y"}\n\n{}')
    assert rows_of(path) == [{"a": "1", "b": "x"}, {"a": None, "b": "y"}, {"a": None, "b": None}]


VALID = b'{"a":1,"b":"x"}\n'
INVALID = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n", "the file is empty"),
    "no fields": (b"{}\n", "line 1 has no fields"),
    "empty name": (b'{"":1}\n', "field 1 has no name"),
    "duplicate key": (b'{"a":1,"a":2}\n', "line 1 has the field 'a' twice"),
    "duplicate key in a later line": (VALID + b'{"b":1,"a":2,"a":2}\n', "line 2 has the field 'a' twice"),
    "array": (VALID + b"\n[1]\n", "line 3 is not a JSON object"),
    "array of pairs": (VALID + b'[["a",1]]\n', "line 2 is not a JSON object"),
    "Python": (VALID + b"{'a':1}\n", "line 2 is not valid JSON"),
    "truncated": (VALID + b'{"a":1', "line 2 is not valid JSON"),
    "two objects": (VALID + b"{} {}\n", "line 2 is not valid JSON"),
    "too deep": (VALID + b"[" * 100_000, "line 2 is not valid JSON"),
    "nested array": (VALID + b'{"b":[1]}\n', "line 2 has an array or an object in the field 'b'"),
    "nested object": (b'{"a":{}}\n', "line 1 has an array or an object in the field 'a'"),
    "unknown field": (VALID + b'{"a":1,"c":2}\n', "line 2 has the field 'c', which is missing in the first row"),
    "NUL": (VALID + b'{"a":"\\u0000"}\n', "line 2 has a NUL character"),
    "surrogate": (VALID + b'{"a":"\\ud800","b":"\\udc00"}\n', "line 2 has half of a surrogate pair"),
}


@pytest.mark.parametrize(("content", "problem"), INVALID.values(), ids=INVALID.keys())
def test_invalid_json_lines_are_rejected_with_their_line(
    make_file: FileMaker, source_error: ErrorReader, content: bytes, problem: str
) -> None:
    assert problem in source_error(make_file("a.jsonl", content))
