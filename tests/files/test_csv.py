"""Rows of CSV files: texts, and errors with their line."""

from __future__ import annotations

import csv
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.files.csv import CsvRows
from airflow_provider_akkio.files.reader import RowFile
from tests.files.conftest import ErrorReader, FileMaker, column_of, rows_of


@pytest.mark.parametrize(
    "text",
    ["1.10", "007", "2E3", " x ", " ", "1e-400", "9007199254740993.0", "12345678901234567890", "0\x1f", "nan", "True"],
)
def test_cell_is_sent_as_the_text_in_the_file(make_file: FileMaker, text: str) -> None:
    assert column_of(make_file("a.csv", f"a\n{text}\n".encode())) == [text]


def test_empty_cell_is_null(make_file: FileMaker) -> None:
    assert rows_of(make_file("a.csv", b'a,b,c\n,"",x\n')) == [{"a": None, "b": None, "c": "x"}]


def test_quotes_and_non_ascii_names_are_read(make_file: FileMaker) -> None:
    assert rows_of(make_file("a.csv", 'näme,x\n"Ann, ""A""",5" pipe\n'.encode())) == [
        {"näme": 'Ann, "A"', "x": '5" pipe'}
    ]


@settings(deadline=None)
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2), min_size=1))
def test_cells_survive_the_csv_module(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    source = CsvRows(iter(io.StringIO(file.getvalue(), newline="\n")))
    assert [cells for cells, _ in source.rows()] == rows


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_line_ends_may_be_lf_or_crlf_and_occur_in_quotes(make_file: FileMaker, line_end: bytes) -> None:
    path = make_file("a.csv", line_end.join([b"a,b", b'"x\r\ny\rz",1', b"2,3"]))
    assert rows_of(path) == [{"a": "x\r\ny\rz", "b": "1"}, {"a": "2", "b": "3"}]


def test_blank_lines_at_the_end_are_ignored(make_file: FileMaker) -> None:
    assert rows_of(make_file("a.csv", b"a,b\n,\n\n\r\n\n")) == [{"a": None, "b": None}]


MANY_ROWS = b"1,2\n" * 100_000
INVALID = {
    "empty": (b"", "the file is empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "the file is empty"),
    "blank header": (b"\na\n", "line 1 is blank"),
    "empty name": (b"a, ,c\n1,2,3\n", "field 2 has no name"),
    "duplicate name": (b"a,b,a\n1,2,3\n", "two fields have the name 'a'"),
    "too many cells": (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 cells, but the header has 2"),
    "too few cells": (b'a,b\n"1\n",2\n"3\n"\n', "line 4 has 1 cell, but the header has 2"),
    "blank line between rows": (b"a,b\n1,2\n\n\n3,4\n", "line 3 is blank"),
    "CR": (b"a,b\r1,2\r", "line 1 has a carriage return without a line feed"),
    "CR after the header": (b"a,b\n1,2\r3,4\r", "line 2 has a carriage return without a line feed"),
    "long cell": (b"a,b\n1,2\n1," + b"x" * 140_000, "line 3 has a cell with more than 131,072 characters"),
    "open quote": (b'a,b\n1,2\n"1,2\n3,4\n', "line 3 has a quote that is not closed"),
    "open quote before many rows": (b'a,b\n1,2\n"' + MANY_ROWS, "line 3 has a cell with more than 131,072 characters"),
    "open quote in the header": (b'a,"b\n1,2\n', "line 1 has a quote that is not closed"),
    "text after a quote": (b'a,b\n"1"2,3\n', "line 2 has text after a closing quote"),
    "large record": (b"a,b\n1,2\n" + b'"\n",' * 3_000_000, "line 3 begins a row larger than 4 MiB"),
}


@pytest.mark.parametrize(("content", "problem"), INVALID.values(), ids=INVALID.keys())
def test_invalid_csv_is_rejected_with_its_line(
    make_file: FileMaker, source_error: ErrorReader, content: bytes, problem: str
) -> None:
    assert problem in source_error(make_file("a.csv", content))


def test_field_size_limit_of_the_process_is_respected_and_unchanged(
    make_file: FileMaker, source_error: ErrorReader
) -> None:
    limit_before = csv.field_size_limit(10)
    try:
        assert "more than 10 characters" in source_error(make_file("a.csv", b"a\n" + b"x" * 11))
        assert csv.field_size_limit() == 10
    finally:
        csv.field_size_limit(limit_before)


def test_wide_rows_are_sent_in_small_batches(make_file: FileMaker) -> None:
    names = ",".join(f"field_{number}" for number in range(10_000))
    path = make_file("a.csv.gz", gzip.compress((names + "\n" + ("1," * 9_999 + "x\n") * 60).encode()))
    assert RowFile(path).inspect().row_count == 60
    sizes = [len(batch.rows) for batch in RowFile(path).batches(500)]
    assert sum(sizes) == 60
    assert 20 < max(sizes) < 40
