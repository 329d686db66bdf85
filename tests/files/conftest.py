"""Files of rows, as tests need them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files.reader import RowFile

FileMaker = Callable[[str, bytes], Path]
Refusal = Callable[[str, bytes], str]


@pytest.fixture
def make_file(tmp_path: Path) -> FileMaker:
    """Writes a file of a name and with the bytes."""

    def made(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return made


@pytest.fixture
def refusal(make_file: FileMaker) -> Refusal:
    """Says why a file cannot be used, both when it is inspected and when it is read."""

    def refused(name: str, content: bytes) -> str:
        table = RowFile(make_file(name, content))
        with pytest.raises(AkkioSourceFileError) as error:
            table.inspect()
        with pytest.raises(AkkioSourceFileError) as again:
            list(table.batches(2))
        assert str(again.value) == str(error.value)
        said = str(error.value)
        assert said.count("\n") == 0
        before, _, problem = said.partition(f"{name}: ")
        assert before
        return problem

    return refused


def rows_of(path: Path, types: dict[str, str] | None = None) -> list[dict[str, Any]]:
    return [row for batch in RowFile(path, types or {}).batches(2) for row in batch.rows]


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    import pyarrow as arrow
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), path, **options)
    return path
