"""Rows of JSON Lines and JSON files: texts, and errors with their line or row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files.reader import RowFile
from tests.files.conftest import ErrorReader, FileMaker, column_of, rows_of

BOTH_FORMATS = pytest.mark.parametrize("name", ["a.jsonl", "a.json"])


def write_json(make_file: FileMaker, name: str, *objects: str) -> Path:
    """Write objects to a JSON Lines or a JSON file."""
    text = "\n".join(objects) if name.endswith("l") else f"[\n{', '.join(objects)} ]\n"
    return make_file(name, text.encode())


@BOTH_FORMATS
@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("1", "1"),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("1e999", "1e999"),
        ("1E2", "1E2"),
        ("1e-400", "1e-400"),
        ("9007199254740993.0", "9007199254740993.0"),
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
def test_scalar_is_sent_as_text(make_file: FileMaker, name: str, literal: str, text: str | None) -> None:
    [sent] = column_of(write_json(make_file, name, f'{{"a": {literal}}}'))
    assert sent == text
    assert type(sent) in (str, type(None))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_keep_their_spelling(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    path = tmp_path_factory.mktemp("numbers") / "a.json"
    path.write_text(json.dumps([{"a": number} for number in numbers]))
    assert column_of(path) == [json.dumps(number) for number in numbers]


@BOTH_FORMATS
def test_fields_are_those_of_all_rows_and_a_missing_field_is_null(make_file: FileMaker, name: str) -> None:
    path = write_json(make_file, name, '{"b":1}', "{}", '{"a":"x"}', '{"c":null,"b":2}')
    assert RowFile(path).inspect().fields == ("b", "a", "c")
    assert rows_of(path) == [
        {"b": "1", "a": None, "c": None},
        {"b": None, "a": None, "c": None},
        {"b": None, "a": "x", "c": None},
        {"b": "2", "a": None, "c": None},
    ]


@BOTH_FORMATS
@pytest.mark.parametrize("objects", [[], ["{}"]], ids=["no rows", "no fields"])
def test_file_without_fields(make_file: FileMaker, source_error: ErrorReader, name: str, objects: list[str]) -> None:
    path = write_json(make_file, name, *objects)
    if objects:
        assert "the file has no fields" in source_error(path)
    else:
        assert RowFile(path).inspect().row_count == 0


@BOTH_FORMATS
def test_number_of_fields_is_limited(
    make_file: FileMaker, source_error: ErrorReader, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_akkio.files.json.MAX_FIELDS", 20)
    path = write_json(make_file, name, '{"id":1}', *(f'{{"key {at}":1}}' for at in range(20)))
    assert "already has 20 fields" in source_error(path)
    assert column_of(path, columns=("id",))[:2] == ["1", None]


@BOTH_FORMATS
def test_nested_value_that_is_not_selected_is_ignored(
    make_file: FileMaker, source_error: ErrorReader, name: str
) -> None:
    path = write_json(make_file, name, '{"a":1,"b":[1],"c":{"d":"\\u0000"},"":2}')
    assert rows_of(path, columns=("a",)) == rows_of(path, exclude_columns=("b", "c", "")) == [{"a": "1"}]
    assert "exclude_columns" in source_error(path)


@BOTH_FORMATS
def test_field_that_appears_after_the_inspection_is_a_change(make_file: FileMaker, name: str) -> None:
    file = RowFile(write_json(make_file, name, '{"a":1}'))
    summary = file.inspect()
    write_json(make_file, name, '{"a":1,"b":1}')
    with pytest.raises(AkkioSourceFileError, match="has changed since it was validated"):
        next(file.batches(1, expected=summary))


def test_object_may_be_split_between_blocks(make_file: FileMaker) -> None:
    texts = ["é" * size for size in (10, 300_000, 1, 262_140, 3_000_000, 0, 7)]
    content = json.dumps([{"a": text} for text in texts], ensure_ascii=False, indent=1)
    assert column_of(make_file("a.json", content.encode())) == [text or None for text in texts]


def test_missing_field_is_null_and_blank_lines_are_ignored(make_file: FileMaker) -> None:
    path = make_file("a.ndjson", b'\xef\xbb\xbf\n{"a":1,"b":"x"}\r\n \n{"b":"y"}\n\n{}')
    assert rows_of(path) == [{"a": "1", "b": "x"}, {"a": None, "b": "y"}, {"a": None, "b": None}]


VALID = b'{"a":1,"b":"x"}\n'
INVALID = {
    "empty name": (b'{"":1}\n', "line 1 has a field without a name"),
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
    "file with an array": (b'[{"a":1}]', "the extension .json"),
    "NUL": (VALID + b'{"a":"\\u0000"}\n', "line 2 has a NUL character"),
    "surrogate": (VALID + b'{"a":"\\ud800","b":"\\udc00"}\n', "line 2 has half of a surrogate pair"),
}


@pytest.mark.parametrize(("content", "problem"), INVALID.values(), ids=INVALID.keys())
def test_invalid_json_lines_are_rejected_with_their_line(
    make_file: FileMaker, source_error: ErrorReader, content: bytes, problem: str
) -> None:
    assert problem in source_error(make_file("a.jsonl", content))


ROW = b'{"a":1}'
INVALID_ARRAYS = {
    "empty": (b" ", "not a JSON array"),
    "JSON Lines": (ROW + b"\n" + ROW, ".jsonl"),
    "columns of pandas": (b'{"a":{"0":1}}', "orient='records'"),
    "number": (b"[1]", "row 1 is not a JSON object"),
    "array": (b"[" + ROW + b",[]]", "row 2 is not a JSON object"),
    "comma at the end": (b"[" + ROW + b",]", "row 2 is not a JSON object"),
    "no comma": (b"[" + ROW + ROW + b"]", "after row 1, a comma"),
    "truncated after a row": (b"[" + ROW, "after row 1, a comma or the end of the array is missing"),
    "truncated in a row": (b"[" + ROW + b',{"a"', "row 2 is not valid JSON"),
    "text after the end": (b"[" + ROW + b"] x", "text follows the end of the array, after row 1"),
    "text after an empty array": (b"[]]", "text follows the end"),
    "duplicate key": (b"[" + ROW + b',{"a":1,"a":2}]', "row 2 has the field 'a' twice"),
    "nested": (b'[{"a":[1]}]', "row 1 has an array or an object in the field 'a'"),
    "NUL": (b'[{"a":"\\u0000"}]', "row 1 has a NUL character"),
    "large row": (b'[{"a":"' + b"x" * 9_000_000 + b'"}]', "row 1 is larger than 4 MiB"),
    "row a little too large": (b'[{"a":"' + b"x" * (4 << 20) + b'"}]', "row 1 is larger than 4 MiB"),
    "too deep": (b'[{"a":' + b"[" * 100_000, "row 1 is not valid JSON"),
}


@pytest.mark.parametrize(("content", "problem"), INVALID_ARRAYS.values(), ids=INVALID_ARRAYS.keys())
def test_invalid_json_is_rejected_with_its_row(
    make_file: FileMaker, source_error: ErrorReader, content: bytes, problem: str
) -> None:
    assert problem in source_error(make_file("a.json", content))
