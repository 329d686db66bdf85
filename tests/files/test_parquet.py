"""Rows of Parquet files: texts of each type, and errors with their row or column."""

from __future__ import annotations

import errno
import io
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.files.reader import RowFile
from tests.files.conftest import ErrorReader, FileMaker, column_of, rows_of, write_parquet

MOMENT = datetime(2024, 1, 2, 3, 4, 5, 600, tzinfo=UTC)
LARGE_ID = Decimal(12345678901234567890)
ADJACENT_ID = Decimal(12345678901234567891)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pyarrow.array([2**64 - 1, None], pyarrow.uint64()), "18446744073709551615"),
        (pyarrow.array([1.0, float("nan")]), "1.0"),
        (pyarrow.array([0.1 + 0.2, None]), "0.30000000000000004"),
        (pyarrow.array([0.1, None], pyarrow.float32()), "0.1"),
        (pyarrow.array([numpy.float16(0.1), None], pyarrow.float16()), "0.1"),
        (pyarrow.array([numpy.float16(65504), None], pyarrow.float16()), "65500.0"),
        (pyarrow.array([numpy.float16("inf"), numpy.float16("nan")], pyarrow.float16()), "inf"),
        (pyarrow.array([float("-inf"), None]), "-inf"),
        (pyarrow.array([LARGE_ID, None], pyarrow.decimal128(38, 0)), "12345678901234567890"),
        (pyarrow.array([ADJACENT_ID, None], pyarrow.decimal128(38, 0)), "12345678901234567891"),
        (pyarrow.array([Decimal("1e-20"), None], pyarrow.decimal128(38, 20)), "0.00000000000000000001"),
        (pyarrow.array([Decimal(42), None], pyarrow.decimal128(9, 0)), "42"),
        (pyarrow.array([Decimal("10.00"), None], pyarrow.decimal128(9, 2)), "10.00"),
        (pyarrow.array([Decimal("0.00000001"), None], pyarrow.decimal128(9, 8)), "0.00000001"),
        (pyarrow.array([True, None]), "True"),
        (pyarrow.array(["1.10", ""]), "1.10"),
        (pyarrow.array([" ", None], pyarrow.large_string()), " "),
        (pyarrow.array(["x", None]).dictionary_encode(), "x"),
        (pyarrow.array([date(2024, 1, 2), None]), "2024-01-02"),
        (pyarrow.array([time(3, 4, 5), None]), "03:04:05"),
        (pyarrow.array([MOMENT, None]), "2024-01-02T03:04:05.000600+00:00"),
        (pyarrow.array([MOMENT, None], pyarrow.timestamp("ms", "Europe/Zurich")), "2024-01-02T04:04:05+01:00"),
        (pyarrow.array([1_000_000_000, None], pyarrow.timestamp("ns")), "1970-01-01T00:00:01"),
        (pyarrow.array([-1, None], pyarrow.timestamp("ns", "+02:00")), "1970-01-01T01:59:59.999999999+02:00"),
        (pyarrow.array([1_001, None], pyarrow.time64("ns")), "00:00:00.000001001"),
    ],
    ids=str,
)
def test_value_is_sent_as_exact_text(tmp_path: Path, column: Any, text: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": column, "b": [None, None]})
    assert column_of(path) == [text, None, None, None]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(allow_nan=False) | st.none(), min_size=1))
def test_float_text_round_trips(tmp_path_factory: pytest.TempPathFactory, values: list[float | None]) -> None:
    path = write_parquet(tmp_path_factory.mktemp("floats") / "a.parquet", {"a": pyarrow.array(values, "float64")})
    assert column_of(path) == [None if value is None else repr(value) for value in values]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.datetimes(timezones=st.just(timezone(timedelta(minutes=90)))), min_size=1))
def test_timestamp_text_round_trips(tmp_path_factory: pytest.TempPathFactory, moments: list[datetime]) -> None:
    column = pyarrow.array(moments, pyarrow.timestamp("us", "+01:30"))
    path = write_parquet(tmp_path_factory.mktemp("times") / "a.parquet", {"a": column})
    assert column_of(path) == [moment.isoformat() for moment in moments]


@pytest.mark.parametrize(
    ("column", "type_name"),
    [
        ([[1]], "list<element: int64>"),
        ([{"x": 1}], "struct<x: int64>"),
        ([b"x"], "binary"),
        ([timedelta(1)], "duration[us]"),
        (pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())), "map<string, int64"),
        (pyarrow.array([b"x"]).dictionary_encode(), "dictionary<values=binary, indices=int32, ordered=0>"),
    ],
)
def test_unsupported_type_is_rejected_with_the_column(
    tmp_path: Path, source_error: ErrorReader, column: Any, type_name: str
) -> None:
    error = source_error(write_parquet(tmp_path / "a.parquet", {"a": column, "b": [1]}))
    assert f"the column 'a' has the type {type_name}" in error
    assert "exclude_columns" in error
    assert column_of(tmp_path / "a.parquet", exclude_columns=("a",)) == ["1"]


def test_column_with_a_dot_in_its_name_is_selected(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a.b": [1], "a": [2], "c.d": [[3]], "c": [4]})
    assert rows_of(path, columns=("c", "a")) == [{"a": "2", "c": "4"}]
    assert rows_of(path, columns=("a.b",)) == [{"a.b": "1"}]


def test_null_values_apply_to_text_columns(tmp_path: Path) -> None:
    columns = {"text": ["0", "NA"], "category": pyarrow.array(["NA", "x"]).dictionary_encode(), "number": [0, 1]}
    path = write_parquet(tmp_path / "a.parquet", columns)
    assert rows_of(path, null_values=("NA", "0")) == [
        {"text": None, "category": None, "number": "0"},
        {"text": None, "category": "x", "number": "1"},
    ]


@pytest.mark.parametrize(
    ("index", "fields", "omitted"),
    [
        (None, ("a",), []),
        (pandas.Index([7, 9]), ("a",), ["__index_level_0__"]),
        (pandas.Index([7, 9], name="id"), ("a", "id"), []),
        (pandas.MultiIndex.from_tuples([(1, 2), (3, 4)]), ("a",), ["__index_level_0__", "__index_level_1__"]),
    ],
    ids=["range", "unnamed", "named", "two levels"],
)
def test_unnamed_index_of_pandas_is_left_out_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, index: Any, fields: tuple[str, ...], omitted: list[str]
) -> None:
    pandas.DataFrame({"a": [1, 2]}, index=index).to_parquet(tmp_path / "a.parquet")
    file = RowFile(tmp_path / "a.parquet")
    with caplog.at_level("INFO"):
        summary = file.inspect()
        list(file.batches(1, expected=summary))
    assert summary.fields == fields
    assert [record.message.partition("pandas, ")[2] for record in caplog.records] == (
        [", ".join(omitted) + "."] if omitted else []
    )


def test_column_with_the_name_of_an_index_is_read_if_it_is_selected_or_not_an_index(tmp_path: Path) -> None:
    pandas.DataFrame({"a": [1]}, index=[7]).to_parquet(tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet", columns=("__index_level_0__",)) == [{"__index_level_0__": "7"}]
    assert rows_of(write_parquet(tmp_path / "b.parquet", {"__index_level_0__": [1]})) == [{"__index_level_0__": "1"}]


LONG_COLUMN = ["x"] * 3000
INVALID = {
    "no fields": ({}, "the file has no fields"),
    "NUL": ({"a": [*LONG_COLUMN, "\0"]}, "row 3001 has a NUL character"),
    "large row": ({"a": [*LONG_COLUMN, "y" * 5_000_000]}, "row 3001 is larger than 4 MiB"),
    "year": ({"a": pyarrow.array([2**62], pyarrow.timestamp("us"))}, "'a' has, in rows 1 to 1, a text that is not"),
    "not UTF-8": (
        {"a": pyarrow.array([b"\xff"]).view(pyarrow.string())},
        "'a' has, in rows 1 to 1, a text that is not UTF-8",
    ),
}


@pytest.mark.parametrize(("columns", "problem"), INVALID.values(), ids=INVALID.keys())
def test_invalid_rows_are_rejected(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", columns, row_group_size=700)
    with pytest.raises(ValueError, match=problem):
        RowFile(path).inspect()


def test_duplicate_column_is_rejected(tmp_path: Path, source_error: ErrorReader) -> None:
    parquet.write_table(pyarrow.table([[1], [2]], ["a", "a"]), tmp_path / "a.parquet")
    assert "two fields have the name 'a'" in source_error(tmp_path / "a.parquet")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_file_of_another_format_is_rejected(make_file: FileMaker, source_error: ErrorReader, content: bytes) -> None:
    assert "is not a Parquet file" in source_error(make_file("a.parquet", content))


def test_damaged_data_is_rejected(tmp_path: Path, source_error: ErrorReader) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": [f"text {at}" for at in range(50_000)]}, compression="zstd")
    content = bytearray(path.read_bytes())
    content[1000:9000] = b"\xff" * 8000
    path.write_bytes(content)
    assert "the file is damaged" in source_error(path)


class UnreliablePath:
    name = "a.parquet"

    def open(self, mode: str) -> Any:  # noqa: ARG002  # the interface of a path
        class UnreliableFile(io.BytesIO):
            def seek(self, *_: Any) -> int:
                raise OSError(errno.EIO, "connection lost")

        return UnreliableFile(b"PAR1")


def test_lost_connection_is_not_reported_as_damage() -> None:
    with pytest.raises(OSError, match="connection lost") as error:
        RowFile(UnreliablePath()).inspect()
    assert error.value.errno == errno.EIO


def test_row_groups_do_not_move_batch_boundaries(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": list(range(2500))}, row_group_size=300)
    assert [len(batch.rows) for batch in RowFile(path).batches(1000)] == [1000, 1000, 500]
    assert next(RowFile(path).batches(1000, 2000)).rows[0] == {"a": "2000"}


@contextmanager
def limited_memory(limit: int) -> Iterator[None]:
    """Limit the bytes of Python's objects, and those of Arrow's data."""
    default = pyarrow.default_memory_pool()
    arrow = pyarrow.proxy_memory_pool(default)
    pyarrow.set_memory_pool(arrow)
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pyarrow.set_memory_pool(default)
    assert peak < limit
    assert arrow.max_memory() < limit


LONG_TEXTS = [letter * 100_000 for letter in "abcd"]
LONG_PREFIXES = [f"{LONG_TEXTS[0]}{number}" for number in range(2000)]
SMALL_FILES_OF_LARGE_TEXTS: dict[str, tuple[list[str], Callable[[Any], Any], dict[str, Any]]] = {
    "dictionary encoding": (LONG_TEXTS * 500, pyarrow.array, {}),
    "dictionary type": (LONG_TEXTS * 500, lambda texts: pyarrow.array(texts).dictionary_encode(), {}),
    "long text among many": ([*map(str, range(5000)), *LONG_TEXTS * 500], pyarrow.array, {}),
    "delta encoding": (
        LONG_PREFIXES,
        pyarrow.array,
        {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY", "b": "PLAIN"}},
    ),
}


@pytest.mark.parametrize(
    ("texts", "to_column", "options"), SMALL_FILES_OF_LARGE_TEXTS.values(), ids=SMALL_FILES_OF_LARGE_TEXTS.keys()
)
def test_texts_that_are_larger_than_the_file_need_little_memory(
    tmp_path: Path, texts: list[str], to_column: Callable[[Any], Any], options: dict[str, Any]
) -> None:
    columns = {"a": to_column(texts), "b": list(range(len(texts)))}
    path = write_parquet(tmp_path / "a.parquet", columns, **options)
    del columns
    assert path.stat().st_size < 2 * 2**20
    with limited_memory(32 * 2**20):
        summary = RowFile(path).inspect()
        rows = (row for batch in RowFile(path).batches(500, expected=summary) for row in batch.rows)
        assert all(row["a"] == text for row, text in zip(rows, texts, strict=True))


def test_row_group_without_texts_is_read(tmp_path: Path) -> None:
    columns = {"a": pyarrow.array([None, None, "x", "x"]), "b": pyarrow.array([None] * 4, pyarrow.string())}
    path = write_parquet(tmp_path / "a.parquet", columns, row_group_size=2)
    assert column_of(path) == [None, None, None, None, "x", None, "x", None]


def test_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "airflow_provider_akkio.files.parquet", raising=False)
    with pytest.raises(AkkioParameterError, match=r"airflow-provider-akkio\[parquet\]"):
        RowFile(path).inspect()
