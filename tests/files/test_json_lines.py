"""Rows from JSON Lines: what is understood, and what is refused with its line."""

from __future__ import annotations

import pytest

from airflow_provider_akkio.files.reader import RowFile
from tests.files.conftest import FileMaker, Refusal, rows_of


def test_scalars_are_numbers_texts_or_nothing(make_file: FileMaker) -> None:
    path = make_file("a.jsonl", b'{"a":1,"b":1.5,"c":"007","d":true}\n{"a":NaN,"b":"","c":null,"d":false}\n')
    assert rows_of(path) == [
        {"a": 1, "b": 1.5, "c": "007", "d": "true"},
        {"a": None, "b": None, "c": None, "d": "false"},
    ]


def test_a_line_may_lack_a_field_and_blank_lines_are_nothing(make_file: FileMaker) -> None:
    path = make_file("a.ndjson", b'\xef\xbb\xbf\n{"a":1,"b":"x"}\r\n \n{"b":"y"}\n\n{}')
    assert rows_of(path) == [{"a": 1, "b": "x"}, {"a": None, "b": "y"}, {"a": None, "b": None}]


def test_a_category_is_text_however_it_is_written(make_file: FileMaker) -> None:
    path = make_file("a.jsonl", b'{"a":1}\n{"a":1.5}\n{"a":true}\n{"a":"x "}\n{"a":" "}\n{"a":1e400}\n')
    assert [row["a"] for row in rows_of(path, {"a": "category"})] == ["1", "1.5", "true", "x ", None, None]


def test_integers_beyond_64_bits_are_numbers_but_not_integers_of_the_summary(make_file: FileMaker) -> None:
    summary = RowFile(make_file("a.jsonl", b'{"a":%d,"b":1}\n{"a":null,"b":null}\n' % 10**20)).inspect()
    assert (summary.numbers, summary.integers) == (frozenset("ab"), frozenset("b"))


GOOD = b'{"a":1,"b":"x"}\n'
BAD = {
    "empty": (b"", "the file is empty."),
    "blank": (b"\n \n", "the file is empty."),
    "no fields": (b"{}\n", "line 1 names no fields."),
    "an empty name": (b'{"":1}\n', "field 1 has no name."),
    "the same name twice": (b'{"a":1,"a":2}\n', "two fields are named 'a'."),
    "no object": (GOOD + b"\n[1]\n", "line 3 is not a JSON object."),
    "no JSON": (GOOD + b"{'a':1}\n", "line 2 is not JSON."),
    "half of an object": (GOOD + b'{"a":1', "line 2 is not JSON."),
    "too deep": (GOOD + b"[" * 100_000, "line 2 is not JSON."),
    "too many digits": (GOOD + b'{"a":' + b"1" * 5000 + b"}", "line 2 is not JSON."),
    "a list": (GOOD + b'{"b":[1]}\n', "line 2 has a list or an object in the field 'b'."),
    "an object": (b'{"a":{}}\n', "line 1 has a list or an object in the field 'a'."),
    "another field": (GOOD + b'{"a":1,"c":2}\n', "line 2 has the field 'c', which the first row does not have."),
    "a NUL": (GOOD + b'{"a":"\\u0000"}\n', "line 2 has a NUL character, \\u0000."),
    "a NUL byte": (
        GOOD + b'{"a":"\0"}\n',
        "line 2 has a NUL byte; the file may not be text, or not UTF-8.",
    ),
    "half of a pair": (GOOD + b'{"a":"\\ud800"}\n', "line 2 has half of a surrogate pair, which is no character."),
    "not UTF-8": (GOOD + b'{"a":"\xe9"}\n', "line 2 is not UTF-8."),
    "20 MB": (GOOD + b'{"a":"' + b"x" * 20_000_000 + b'"}\n', "line 2 is longer than 4 MiB."),
}


@pytest.mark.parametrize(("content", "problem"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_said_with_its_line(refusal: Refusal, content: bytes, problem: str) -> None:
    assert refusal("a.jsonl", content) == problem


def test_an_escaped_backslash_before_u0000_is_text(make_file: FileMaker) -> None:
    assert rows_of(make_file("a.jsonl", b'{"a":"\\\\u0000 \\u00e9"}')) == [{"a": "\\u0000 é"}]
