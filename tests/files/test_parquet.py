"""Rows from Parquet: what the types become, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest

from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files.reader import RowFile
from tests.files.conftest import Refusal, rows_of, write_parquet

MOMENT = datetime(2024, 1, 2, 3, 4, 5, 600, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (arrow.array([1, None], arrow.uint8()), 1),
        (arrow.array([1.5, float("nan")]), 1.5),
        (arrow.array([Decimal("1.10"), None]), 1.1),
        (arrow.array([True, None]), "true"),
        (arrow.array(["1", ""]), "1"),
        (arrow.array(["x", " "], arrow.large_string()), "x"),
        (arrow.array(["x", None]).dictionary_encode(), "x"),
        (arrow.array([date(2024, 1, 2), None]), "2024-01-02"),
        (arrow.array([time(3, 4, 5), None]), "03:04:05"),
        (arrow.array([MOMENT, None]), "2024-01-02T03:04:05.000600+00:00"),
        (arrow.array([1_001, None], arrow.timestamp("ns")), "1970-01-01T00:00:00.000001"),
        (arrow.array([1_001, None], arrow.time64("ns")), "00:00:00.000001"),
    ],
)
def test_scalars_are_numbers_texts_or_nothing(tmp_path: Path, column: Any, value: Any) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": column})
    assert rows_of(path) == [{"a": value}, {"a": None}]
    assert type(rows_of(path)[0]["a"]) is type(value)


def problem_of(path: Path) -> str:
    with pytest.raises(AkkioSourceFileError) as error:
        RowFile(path).inspect()
    return str(error.value).partition("a.parquet: ")[2]


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        ([[1]], "list<element: int64>"),
        ([{"x": 1}], "struct<x: int64>"),
        ([b"x"], "binary"),
        ([timedelta(1)], "duration[us]"),
    ],
)
def test_a_column_that_is_no_scalar_is_refused_by_its_name(tmp_path: Path, column: list[Any], type_: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": column, "b": [1]})
    assert problem_of(path) == f"the column 'a' is of the type {type_}, which cannot be sent."


def test_what_is_wrong_in_a_row_is_said_with_its_number(tmp_path: Path) -> None:
    many = ["x"] * 3000
    path = write_parquet(tmp_path / "a.parquet", {"a": [*many, "\0"]}, row_group_size=700)
    assert problem_of(path) == "row 3001 has a NUL character in 'a'."
    path = write_parquet(tmp_path / "a.parquet", {"a": [*many, "y" * 5_000_000]})
    assert problem_of(path) == "row 3001 is larger than 4 MiB."
    late = arrow.array([2**62], arrow.timestamp("us"))
    assert "a time out of Python's range" in problem_of(write_parquet(tmp_path / "a.parquet", {"a": late}))


def test_a_file_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    assert problem_of(write_parquet(tmp_path / "a.parquet", {"a": arrow.array([], "int64")})) == "the file has no rows."
    assert problem_of(write_parquet(tmp_path / "a.parquet", {})) == "the file has no fields."


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(arrow.table([[1], [2]], ["a", "a"]), tmp_path / "a.parquet")
    assert problem_of(tmp_path / "a.parquet") == "two fields are named 'a'."


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_what_only_ends_like_parquet_is_refused(refusal: Refusal, content: bytes) -> None:
    assert refusal("a.parquet", content) == "the file ends in .parquet, but is no Parquet file, or a broken one."


def test_damage_in_the_midst_of_a_file_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": [f"text {at}" for at in range(50_000)]}, compression="zstd")
    content = bytearray(path.read_bytes())
    content[1000:9000] = b"\xff" * 8000
    path.write_bytes(content)
    assert problem_of(path) == "the file ends in .parquet, but is no Parquet file, or a broken one."


def test_batches_are_cut_alike_whatever_the_row_groups(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": list(range(2500))}, row_group_size=300)
    assert [len(batch.rows) for batch in RowFile(path).batches(1000)] == [1000, 1000, 500]
    assert next(RowFile(path).batches(1000, 2000)).rows[0] == {"a": 2000}
