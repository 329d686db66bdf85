"""Fixtures and functions for tests of row files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files.reader import RowFile

FileMaker = Callable[[str, bytes], Path]
ErrorReader = Callable[[Path], str]


@pytest.fixture
def make_file(tmp_path: Path) -> FileMaker:
    def make(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def source_error() -> ErrorReader:
    """Return the error of an invalid file without the file name; inspecting and reading must report the same."""

    def read_error(path: Path) -> str:
        with pytest.raises(AkkioSourceFileError) as inspecting:
            RowFile(path).inspect()
        with pytest.raises(AkkioSourceFileError) as reading:
            list(RowFile(path).batches(2))
        message = str(inspecting.value)
        assert str(reading.value) == message
        assert message.isprintable()
        assert message.startswith(f"{path}: ")
        return message.removeprefix(f"{path}: ")

    return read_error


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for batch in RowFile(path).batches(2) for row in batch.rows]


def column_of(path: Path) -> list[str | None]:
    return [text for row in rows_of(path) for text in row.values()]


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path
