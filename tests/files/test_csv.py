"""Rows of CSV files: texts, and errors with their line."""

from __future__ import annotations

import csv
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.files.csv import CsvRows
from airflow_provider_akkio.files.reader import ReadOptions, RowFile
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
    source = CsvRows(iter(io.StringIO(file.getvalue(), newline="\n")), ReadOptions())
    assert [cells for _, cells, _ in source.rows()] == rows


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_line_ends_may_be_lf_or_crlf_and_occur_in_quotes(make_file: FileMaker, line_end: bytes) -> None:
    path = make_file("a.csv", line_end.join([b"a,b", b'"x\r\ny\rz",1', b"2,3"]))
    assert rows_of(path) == [{"a": "x\r\ny\rz", "b": "1"}, {"a": "2", "b": "3"}]


def test_blank_lines_at_the_end_are_ignored(make_file: FileMaker) -> None:
    assert rows_of(make_file("a.csv", b"a,b\n,\n\n\r\n\n")) == [{"a": None, "b": None}]


def test_blank_line_in_one_column_is_a_missing_value_except_at_the_end(make_file: FileMaker) -> None:
    assert column_of(make_file("a.csv", b'a\n\n1\n\r\n\n2\n""\n\n\n')) == [None, "1", None, None, "2", None]


@pytest.mark.parametrize(
    ("name", "content", "delimiter"),
    [
        ("a.tsv", b"a\tb\n1,5\t2;3\n", None),
        ("a.tsv", b"a|b\n1,5|2;3\n", "|"),
        ("a.csv", b"a;b\n1,5;2;3\n".replace(b"2;3", b'"2;3"'), ";"),
        ("a.csv", b'a\tb\n"1,5"\t2;3\n', "\t"),
    ],
)
def test_delimiter_is_that_of_the_extension_or_the_parameter(
    make_file: FileMaker, name: str, content: bytes, delimiter: str | None
) -> None:
    assert rows_of(make_file(name, content), delimiter=delimiter) == [{"a": "1,5", "b": "2;3"}]


OTHER_DELIMITERS = {
    "semicolon": ("a.csv", b"a;b\n1;2\n", "';'"),
    "tab": ("a.csv", b"a\tb\n1\t2\n", r"'\t'"),
    "pipe": ("a.csv", b"a|b|c\n1|2|3\n", "'|'"),
    "comma in .tsv": ("a.tsv", b"a,b\n1,2\n", "','"),
    "header only": ("a.csv", b"a;b\n", "';'"),
    "decimal comma": ("a.csv", b"a;b\n1,5;2\n", "';'"),
    "quoted header": ("a.csv", b'"a";"b"\n1;2\n', "';'"),
    "quoted cell": ("a.csv", b'a;b\n"1;";2\n', "';'"),
    "blank line": ("a.csv", b"a;b\n1;2\n\n3;4\n\n", "';'"),
    "Excel": ("a.csv", b"sep=;\r\na;b\r\n1;2\r\n", "';'"),
    "Excel, upper case and comma": ("a.csv", b"\xef\xbb\xbfSEP=,\na,b\n1,2\n", "','"),
}


@pytest.mark.parametrize(("name", "content", "detected"), OTHER_DELIMITERS.values(), ids=OTHER_DELIMITERS.keys())
def test_other_delimiter_is_detected(
    make_file: FileMaker, source_error: ErrorReader, name: str, content: bytes, detected: str
) -> None:
    error = source_error(make_file(name, content))
    assert "delimiter" in error
    assert detected in error


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"a\n1;2\n3;4\n", {}),
        (b"a;b\n1;2\n3\n", {}),
        (b'a;b\n"1;2"\n', {}),
        (b"a;b\n1;2\n", {"delimiter": ","}),
        (b"a;b,c\n1;2,3\n", {}),
    ],
    ids=["header without", "number differs", "quoted", "delimiter is set", "two columns"],
)
def test_delimiter_in_a_text_is_valid(make_file: FileMaker, content: bytes, options: dict[str, str]) -> None:
    assert RowFile(make_file("a.csv", content), ReadOptions(**options)).inspect().row_count > 0


@pytest.mark.parametrize(
    "cell", ['5" pipe', ' 5" pipe', '" ""x"" "', '"he said, ""no"""', '"a, "" b"', '"\n, ""x"""', 'x "y"']
)
def test_quote_elsewhere_in_a_cell_is_valid(make_file: FileMaker, cell: str) -> None:
    [row] = rows_of(make_file("a.csv", f'a,b\n{cell},"x"\n'.encode()))
    assert row["a"] == (cell[1:-1].replace('""', '"') if cell.startswith('"') else cell)


@pytest.mark.parametrize("spaces", [" ", "  ", "\t"])
@pytest.mark.parametrize("line", ['{}"Bern",1', '1,{}"Bern"', '1,{}"Bern, Thun"', '"x",{}"Bern"', '"a ""b""",{}"c"'])
def test_space_before_a_quote_is_rejected_with_its_line(
    make_file: FileMaker, source_error: ErrorReader, line: str, spaces: str
) -> None:
    path = make_file("a.csv", f"a,b\n1,2\n{line.format(spaces)}\n".encode())
    assert "line 3 has a space between a delimiter and a quote" in source_error(path)


def test_space_before_a_quote_is_rejected_in_the_header(make_file: FileMaker, source_error: ErrorReader) -> None:
    assert "line 1 has a space" in source_error(make_file("a.csv", b'a, "b"\n1,2\n'))


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
