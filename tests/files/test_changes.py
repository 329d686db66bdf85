"""A file that is not the one that was checked any more is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files.reader import RowFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,price\n1,100\n2,200\n")
    return path


def test_the_same_file_is_read_to_its_end(path: Path) -> None:
    table = RowFile(path)
    [batch] = table.batches(10, expected=table.inspect())
    assert batch.rows == [{"id": 1, "price": 100}, {"id": 2, "price": 200}]


def test_other_fields_are_seen_before_the_first_batch(path: Path) -> None:
    table = RowFile(path)
    summary = table.inspect()
    path.write_text("price,id\n100,1\n200,2\n")
    with pytest.raises(AkkioSourceFileError, match="has changed since it was checked"):
        next(table.batches(10, expected=summary))


def test_other_rows_are_seen_after_the_last_batch(path: Path) -> None:
    table = RowFile(path)
    summary = table.inspect()
    path.write_text("id,price\n1,100\n2,201\n")
    batches = table.batches(1, expected=summary)
    assert [next(batches).rows[0]["id"], next(batches).rows[0]["id"]] == [1, 2]
    with pytest.raises(AkkioSourceFileError, match="has changed since it was checked"):
        next(batches)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_every_kind_of_file_is_the_same_when_it_is_read_again(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"id": list(range(50))}), path)
    else:
        import gzip

        lines = "".join(f'{{"id": {number}}}\n' for number in range(50)).encode()
        path.write_bytes(gzip.compress(lines) if ending.endswith("gz") else lines)
    table = RowFile(path)
    assert sum(len(batch.rows) for batch in table.batches(7, skip=14, expected=table.inspect())) == 36
