"""Rows from CSV: what is understood, and what is refused with its line."""

from __future__ import annotations

import csv
import gzip

import pytest

from airflow_provider_akkio.files.reader import RowFile
from tests.files.conftest import FileMaker, Refusal, rows_of


def test_cells_are_numbers_texts_or_nothing(make_file: FileMaker) -> None:
    path = make_file("a.csv", 'id,näme,x\n007,"Ann, ""A""", 1.50 \n,  ,\n'.encode())
    assert rows_of(path) == [{"id": "007", "näme": 'Ann, "A"', "x": 1.5}, {"id": None, "näme": None, "x": None}]


def test_the_cells_are_kept_as_the_file_has_them(make_file: FileMaker) -> None:
    [batch] = RowFile(make_file("a.csv", b"a,b\n1.10, x\n")).batches(5)
    assert batch.cells == [["1.10", " x"]]


@pytest.mark.parametrize("type_", ["category", "string"])
def test_a_field_of_texts_keeps_its_numbers_as_texts(make_file: FileMaker, type_: str) -> None:
    path = make_file("a.csv", b"zip,n\n8001,1\n,2\n")
    assert rows_of(path, {"zip": type_, "n": "number"}) == [{"zip": "8001", "n": 1}, {"zip": None, "n": 2}]
    assert RowFile(path, {"zip": type_}).inspect().numbers == {"n"}


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_both_line_ends_and_line_ends_in_quotes_are_fine(make_file: FileMaker, ending: bytes) -> None:
    path = make_file("a.csv", ending.join([b"a,b", b'"x\r\ny\rz",1', b"2,3"]))
    assert rows_of(path) == [{"a": "x\r\ny\rz", "b": 1}, {"a": 2, "b": 3}]


def test_blank_lines_at_the_end_are_ignored_and_separators_alone_are_a_row(make_file: FileMaker) -> None:
    assert rows_of(make_file("a.csv", b"a,b\n,\n\n\r\n\n")) == [{"a": None, "b": None}]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_byte_order_mark_is_no_part_of_a_name(make_file: FileMaker, name: str) -> None:
    content = b"\xef\xbb\xbfa\n1\n"
    assert rows_of(make_file(name, gzip.compress(content) if name.endswith(".gz") else content)) == [{"a": 1}]


def test_ten_thousand_columns_come_in_small_batches(make_file: FileMaker) -> None:
    names = ",".join(f"field_{number}" for number in range(10_000))
    path = make_file("a.csv", (names + "\n" + ("1," * 9_999 + "x\n") * 60).encode())
    assert RowFile(path).inspect().rows == 60
    sizes = [len(batch.rows) for batch in RowFile(path).batches(500)]
    assert sum(sizes) == 60
    assert 20 < max(sizes) < 40


MANY = b"1,2\n" * 100_000
BAD = {
    "empty": (b"", "the file is empty."),
    "only a byte order mark": (b"\xef\xbb\xbf", "the file is empty."),
    "blank header": (b"\na\n", "line 1 is blank, where the names of the fields should be."),
    "empty name": (b"a, ,c\n1,2,3\n", "field 2 has no name."),
    "the same name twice": (b"a,b,a\n1,2,3\n", "two fields are named 'a'."),
    "more cells": (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 cells, the header 2."),
    "fewer cells": (b'a,b\n"1\n",2\n"3\n"\n', "line 4 has 1 cell, the header 2."),
    "blank in between": (b"a,b\n1,2\n\n3,4\n", "line 3 is blank, with rows after it."),
    "not UTF-8": (b"a,b\n" + MANY + b"\xe9,1\n", "line 100002 is not UTF-8."),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "line 1 is not UTF-8 but UTF-16; save the file as UTF-8."),
    "UTF-16 without a mark": (
        "a,b\n1,2\n".encode("utf-16-le"),
        "line 1 has a NUL byte; the file may not be text, or not UTF-8.",
    ),
    "NUL": (
        b"a,b\n" + MANY + b"1,2\n\0,1\n",
        "line 100003 has a NUL byte; the file may not be text, or not UTF-8.",
    ),
    "CR-only": (b"a,b\r1,2\r", "line 1 has a carriage return without a line feed; lines must end in LF or CRLF."),
    "CR-only after the header": (
        b"a,b\n1,2\r3,4\r",
        "line 2 has a carriage return without a line feed; lines must end in LF or CRLF.",
    ),
    "a long cell": (
        b"a,b\n1,2\n1," + b"x" * 140_000,
        "the record that begins at line 3 has a cell of over 131,072 characters, or an open quote.",
    ),
    "a cell of 20 MB": (b"a,b\n1,2\n1," + b"x" * 20_000_000, "line 3 is longer than 4 MiB."),
    "a long line in the midst": (
        b"a,b\n" + b"x" * 5_000_000 + b"\n1,2\n",
        "line 2 is longer than 4 MiB.",
    ),
    "an open quote": (
        b'a,b\n1,2\n"1,2\n3,4\n',
        "the record that begins at line 3 has a quote that is not closed by the end of the file.",
    ),
    "an open quote before much": (
        b'a,b\n1,2\n"' + MANY,
        "the record that begins at line 3 has a cell of over 131,072 characters, or an open quote.",
    ),
    "an open quote in the header": (
        b'a,"b\n1,2\n',
        "the record that begins at line 1 has a quote that is not closed by the end of the file.",
    ),
    "text after a quote": (b'a,b\n"1"2,3\n', "the record that begins at line 2 has text after a closing quote."),
    "a record without an end": (
        b"a,b\n1,2\n" + b'"\n",' * 3_000_000,
        "the record that begins at line 3 does not end within 4 MiB.",
    ),
    "a large row of short lines": (
        b"a,b\n1,2\n" + b",".join([b'"' + b"x\n" * 50_000 + b'"'] * 50) + b"\n",
        "line 3 has 50 cells, the header 2.",
    ),
}


@pytest.mark.parametrize(("content", "problem"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_said_with_its_line(refusal: Refusal, content: bytes, problem: str) -> None:
    assert refusal("a.csv", content) == problem


def test_a_row_of_many_long_cells_is_refused(refusal: Refusal) -> None:
    header = ",".join(map(str, range(50))).encode()
    row = b",".join([b'"' + b"x\n" * 50_000 + b'"'] * 50)
    assert refusal("a.csv", header + b"\n" + row + b"\n") == "the row that begins at line 2 is larger than 4 MiB."


@pytest.mark.parametrize("content", [b"a\n1\n", gzip.compress(b"a\n1\n" * 1000)[:-9], gzip.compress(b"a\n1\n") + b"x"])
def test_what_gzip_cannot_read_is_refused(refusal: Refusal, content: bytes) -> None:
    assert refusal("a.csv.gz", content) == "the file ends in .gz, but is broken or was not compressed by gzip."


def test_the_limit_that_another_has_set_stays_as_it_is(refusal: Refusal) -> None:
    before = csv.field_size_limit(10)
    try:
        assert "of over 10 characters" in refusal("a.csv", b"a\n" + b"x" * 11)
        assert csv.field_size_limit() == 10
    finally:
        csv.field_size_limit(before)
