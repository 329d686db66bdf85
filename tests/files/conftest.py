"""Fixtures and functions for tests of row files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pytest
from pyarrow import parquet

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files.reader import ReadOptions, RowFile

FileMaker = Callable[[str, bytes], Path]
ErrorReader = Callable[..., str]


@pytest.fixture
def make_file(tmp_path: Path) -> FileMaker:
    def make(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def source_error() -> ErrorReader:
    """Return the error of an invalid file without the file name."""

    def read_error(path: Path, **options: Any) -> str:
        with pytest.raises(AkkioSourceFileError) as inspecting:
            RowFile(path, ReadOptions(**options)).inspect()
        message = str(inspecting.value)
        assert message.isprintable()
        assert message.startswith(f"{path}: ")
        return message.removeprefix(f"{path}: ")

    return read_error


def rows_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for batch in RowFile(path, ReadOptions(**options)).batches(2) for row in batch.rows]


def column_of(path: Path, **options: Any) -> list[str | None]:
    return [text for row in rows_of(path, **options) for text in row.values()]


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def write_excel(path: Path, *sheets: list[list[Any]]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for number, rows in enumerate(sheets, 1):
        sheet = workbook.create_sheet(f"Sheet {number}")
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return path
