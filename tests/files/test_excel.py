"""Rows of Excel files: texts of each type, sheets, and errors with their row."""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.files.reader import RowFile
from tests.files.conftest import ErrorReader, FileMaker, column_of, rows_of, write_excel


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        (42.0, "42"),
        (-0.5, "-0.5"),
        (0.123456789012345, "0.123456789012345"),
        (9876543210, "9876543210"),
        (1e300, "1e+300"),
        ("42", "42"),
        ("42.0", "42.0"),
        ("007", "007"),
        ("1.10", "1.10"),
        ("123456789012345678", "123456789012345678"),
        (" x ", " x "),
        (True, "True"),
        (False, "False"),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime.fromisoformat("2024-01-02T03:04:05"), "2024-01-02T03:04:05"),
        (time(3, 4, 5), "03:04:05"),
        (None, None),
        ("=1/0", None),
    ],
)
def test_value_is_sent_as_text(tmp_path: Path, value: Any, text: str | None) -> None:
    path = write_excel(tmp_path / "a.xlsx", [["a", "b"], [value, "x"]])
    assert rows_of(path) == [{"a": text, "b": "x"}]


def test_names_may_be_numbers_and_blank_rows_may_surround_the_table(tmp_path: Path) -> None:
    path = write_excel(tmp_path / "a.xlsx", [[None], [None], [2024, "b"], [1, 2], [None, None], [None, None]])
    assert rows_of(path) == [{"2024": "1", "b": "2"}]


def test_blank_row_is_a_missing_value_in_one_column_only(tmp_path: Path, source_error: ErrorReader) -> None:
    assert column_of(write_excel(tmp_path / "a.xlsx", [["a"], [None], [1], [None]])) == [None, "1"]
    path = write_excel(tmp_path / "a.xlsx", [["a", "b"], [1, 2], [None, None], [1, 2]])
    assert "row 3 is blank, but rows follow" in source_error(path)


def test_sheet_is_the_first_or_the_named_one(tmp_path: Path, source_error: ErrorReader) -> None:
    path = write_excel(tmp_path / "a.xlsx", [["a"], [1]], [["a"], [2]])
    assert column_of(path) == ["1"]
    assert column_of(path, sheet_name="Sheet 2") == ["2"]
    assert "no sheet 'sheet 2'. Its sheets are Sheet 1, Sheet 2" in source_error(path, sheet_name="sheet 2")


def test_empty_sheet_is_rejected(tmp_path: Path, source_error: ErrorReader) -> None:
    assert "the file is empty" in source_error(write_excel(tmp_path / "a.xlsx", []))


def test_unsupported_value_is_rejected_with_its_row_and_field(tmp_path: Path, source_error: ErrorReader) -> None:
    path = write_excel(tmp_path / "a.xlsx", [["a", "b"], [1, 2], [3, timedelta(hours=30)]])
    assert "row 3 has a timedelta in the field 'b'" in source_error(path)
    assert column_of(path, columns=("a",)) == ["1", "3"]


def test_large_row_is_rejected(tmp_path: Path, source_error: ErrorReader) -> None:
    path = write_excel(tmp_path / "a.xlsx", [list(range(150)), ["x" * 30_000] * 150])
    assert "row 2 is larger than 4 MiB" in source_error(path)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PK\x03\x04" + b"x" * 100])
def test_file_of_another_format_is_rejected(make_file: FileMaker, source_error: ErrorReader, content: bytes) -> None:
    assert "is not an Excel file" in source_error(make_file("a.xlsx", content))


def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_excel(tmp_path / "a.xlsx", [["a"], [1]])
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    monkeypatch.delitem(sys.modules, "airflow_provider_akkio.files.excel", raising=False)
    with pytest.raises(AkkioParameterError, match=r"airflow-provider-akkio\[excel\]"):
        RowFile(path).inspect()
