"""Rows written with predictions, from and to each format, and atomic writes."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from airflow_provider_akkio.exceptions import AkkioResponseError, AkkioSourceFileError
from airflow_provider_akkio.files.reader import ReadOptions, RowFile
from airflow_provider_akkio.files.writer import atomic_write, open_prediction_writer
from tests.files.conftest import FileMaker, rows_of, write_excel, write_parquet

ALL_OUTPUTS = pytest.mark.parametrize("name", ["b.csv", "b.jsonl", "b.parquet"])
ALL_COLUMNS = ReadOptions()
SCORES = [{"win": "yes", "p": 0.75}, {"win": "no"}]


def write(
    source: Path,
    name: str,
    predictions: Iterable[Any],
    *,
    batch_size: int = 2,
    options: ReadOptions = ALL_COLUMNS,
    replaces_columns: bool = False,
) -> bytes:
    row_file, file, remaining = RowFile(source, options), io.BytesIO(), iter(predictions)
    summary = row_file.inspect()
    with open_prediction_writer(file, name, row_file, summary, replaces_columns=replaces_columns) as writer:
        for batch in row_file.batches(batch_size):
            writer.write(batch, [next(remaining) for _ in batch.rows])
    assert not file.closed
    return file.getvalue()


def read_parquet(content: bytes) -> Any:
    return parquet.read_table(io.BytesIO(content))


@pytest.fixture
def people(make_file: FileMaker) -> Path:
    return make_file("people.csv", 'id,näme,x\n007,"A, ""é""\rB",1.10\n8,,\n'.encode())


def test_csv_to_csv_keeps_the_texts(people: Path) -> None:
    assert write(people, "b.csv", SCORES).decode() == 'id,näme,x,win,p\n007,"A, ""é""\rB",1.10,yes,0.75\n8,,,no,\n'


def test_json_lines_to_json_lines_keeps_the_scalars(make_file: FileMaker) -> None:
    lines = '{"a": true, "b": 1.10, "c": "é"}\n{"a": "", "b": NaN}\n{"a": 12345678901234567890, "b": 1e999}\n'
    predictions = [{"p": [1, {"x": None}]}, {"p": float("inf")}, {"p": 0.5}]
    assert write(make_file("a.jsonl", lines.encode()), "b.jsonl", predictions).decode().splitlines() == [
        '{"a": true, "b": 1.10, "c": "é", "p": [1, {"x": null}]}',
        '{"a": "", "b": null, "c": null, "p": null}',
        '{"a": 12345678901234567890, "b": 1e999, "c": null, "p": 0.5}',
    ]


def test_parquet_to_parquet_keeps_types_and_values(tmp_path: Path) -> None:
    columns = {
        "int8": pyarrow.array([1, None, 3], pyarrow.int8()),
        "float32": pyarrow.array([0.1, float("nan"), None], pyarrow.float32()),
        "id": pyarrow.array([Decimal(12345678901234567890), None, None], pyarrow.decimal128(38, 0)),
        "bool": [True, None, False],
        "day": [date(2024, 1, 2), None, None],
        "timestamp": pyarrow.array([2**60 + 1, None, 1], pyarrow.timestamp("ns", "UTC")),
        "time": pyarrow.array([1, None, 3], pyarrow.time64("ns")),
        "category": pyarrow.array(["x", "y", None]).dictionary_encode(),
        "text": ["", None, "é"],
        "null": [None] * 3,
    }
    source = write_parquet(tmp_path / "a.parquet", columns)
    written = read_parquet(write(source, "b.parquet", [{"p": 1}, {"p": None}, {"p": 0.5}]))
    original = parquet.read_table(source)
    assert written.schema.types[:-1] == original.schema.types
    for name in columns:
        texts = [table.column(name).cast(pyarrow.string()).to_pylist() for table in (written, original)]
        assert texts[0] == texts[1]
    assert written.column("p").to_pylist() == [1.0, None, 0.5]


@ALL_OUTPUTS
@pytest.mark.parametrize("source", ["a.csv", "a.jsonl", "a.parquet"])
def test_output_has_only_the_selected_columns(make_file: FileMaker, tmp_path: Path, source: str, name: str) -> None:
    path = tmp_path / source
    if source == "a.parquet":
        write_parquet(path, {"tags": [["x"]], "id": [1], "z": ["NA"]})
    else:
        path.write_text({"a.csv": "tags,id,z\nx,1,NA\n", "a.jsonl": '{"tags":["x"],"id":1,"z":"NA"}\n'}[source])
    content = write(path, name, [{"p": 0.5}], options=ReadOptions(columns=("z", "id"), null_values=("NA",)))
    is_unchanged = name.partition(".")[2] == source.partition(".")[2]
    assert rows_of(make_file(name, content)) == [{"id": "1", "z": "NA" if is_unchanged else None, "p": "0.5"}]


CSV = b"id,age,name\n1,2.50,x\n2,,7\n3,4e0,\n"
CONTENT = {
    "a.csv": CSV,
    "a.csv.gz": gzip.compress(CSV),
    "a.json": b'[{"id":1,"age":2.50,"name":"x"},{"id":2,"name":"7"},{"id":3,"age":4e0,"name":""}]',
    "a.jsonl": b'{"id":1,"age":2.50,"name":"x"}\n{"id":2,"name":"7"}\n{"id":3,"age":4e0,"name":""}\n',
}


@pytest.mark.parametrize(
    "name", ["b.csv", "b.tsv", "b.csv.gz", "b.tsv.bz2", "b.csv.zst", "b.jsonl", "b.ndjson.gz", "b.parquet"]
)
@pytest.mark.parametrize("source", ["a.csv", "a.csv.gz", "a.jsonl", "a.json", "a.xlsx", "a.parquet"])
def test_rows_are_equal_in_every_output_format(make_file: FileMaker, tmp_path: Path, source: str, name: str) -> None:
    if source == "a.parquet":
        path = write_parquet(tmp_path / source, {"id": [1, 2, 3], "age": [2.5, None, 4.0], "name": ["x", "7", ""]})
    elif source == "a.xlsx":
        path = write_excel(tmp_path / source, [["id", "age", "name"], [1, 2.5, "x"], [2, None, "7"], [3, 4.0, ""]])
    else:
        path = make_file(source, CONTENT[source])
    content = write(path, name, [{"win": "yes", "p": 0.5}, {"win": "no", "p": None}, {"p": 1.5}])
    predicted = [{"win": "yes", "p": "0.5"}, {"win": "no", "p": None}, {"win": None, "p": "1.5"}]
    assert rows_of(make_file(name, content)) == [
        {**row, **prediction} for row, prediction in zip(rows_of(path), predicted, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("b.csv", b"a,b,p\n1.10,True,1\n"),
        ("b.jsonl", b'{"a": 1.10, "b": true, "p": 1}\n'),
    ],
)
def test_json_lines_booleans_become_text_in_other_formats(make_file: FileMaker, name: str, rows: bytes) -> None:
    assert write(make_file("a.jsonl", b'{"a":1.10,"b":true}\n'), name, [{"p": 1}]) == rows


def test_parquet_from_csv_has_text_columns(people: Path) -> None:
    table = read_parquet(write(people, "b.parquet", [{}, {}]))
    assert list(map(str, table.schema.types)) == ["string"] * 3
    assert table.to_pylist()[0] == {"id": "007", "näme": 'A, "é"\rB', "x": "1.10"}


def test_column_that_exists_in_the_source_is_marked_as_predicted(people: Path) -> None:
    header = write(people, "b.csv", [{"x": 1, "y": 2}] * 2).decode().splitlines()[0]
    assert header == "id,näme,x,x (predicted),y"


@ALL_OUTPUTS
@pytest.mark.parametrize("source", ["a.csv", "a.jsonl", "a.parquet"])
def test_transformed_columns_replace_those_of_the_source(
    make_file: FileMaker, tmp_path: Path, source: str, name: str
) -> None:
    path = tmp_path / source
    if source == "a.parquet":
        write_parquet(path, {"id": [7, 8], "age": [1, 2], "city": ["Bern", "Basel"]})
    else:
        text = {"a.csv": "id,age,city\n7,1,Bern\n8,2,Basel\n"}.get(source)
        path.write_text(text or '{"id":7,"age":1,"city":"Bern"}\n{"id":8,"age":2,"city":"Basel"}\n')
    transformed = [{"city": "BERN", "age": 0.5, "age squared": 0.25}, {"city": None, "age": "x", "age squared": 4}]
    content = write(path, name, transformed, replaces_columns=True)
    rows = rows_of(make_file(name, content))
    assert [list(row) for row in rows] == [["id", "age", "city", "age squared"]] * 2
    assert [[*row.values()][:3] for row in rows] == [["7", "0.5", "BERN"], ["8", "x", None]]
    assert [float(row["age squared"]) for row in rows] == [0.25, 4]


@ALL_OUTPUTS
@pytest.mark.parametrize("header", [b"x,x (predicted)", b"x,y"])
def test_ambiguous_column_is_rejected(make_file: FileMaker, header: bytes, name: str) -> None:
    source = make_file("a.csv", header + b"\n1,2\n")
    with pytest.raises(AkkioSourceFileError, match=r"'x' cannot be written, because .* 'x' and 'x \(predicted\)'"):
        write(source, name, [{"x": 1, "x (predicted)": 2}])


@ALL_OUTPUTS
def test_key_that_appears_in_a_later_batch_is_rejected(people: Path, name: str) -> None:
    with pytest.raises(AkkioResponseError, match="'q', which is missing in the first predictions"):
        write(people, name, [{"p": 1}, {"p": 1, "q": 2}], batch_size=1)


def test_columns_are_the_keys_of_the_whole_first_batch(people: Path) -> None:
    lines = write(people, "b.csv", [{"p": 1}, {"q": 2, "p": None}]).decode().splitlines()
    assert (lines[0], lines[-1]) == ("id,näme,x,p,q", "8,,,,2")


def test_nested_predictions_are_json_in_flat_formats(people: Path) -> None:
    predictions = [{"why": {"é": [1, float("nan")]}, "sure": True}, {"why": None, "sure": False}]
    assert write(people, "b.csv", predictions).decode().endswith('1.10,"{""é"": [1, null]}",True\n8,,,,False\n')
    table = read_parquet(write(people, "b.parquet", predictions))
    assert table.column("why").to_pylist() == ['{"é": [1, null]}', None]
    assert table.column("sure").to_pylist() == ["True", "False"]
    assert '"why": {"é": [1, null]}, "sure": true}' in write(people, "b.jsonl", predictions).decode()


@pytest.mark.parametrize(
    ("predictions", "values"),
    [
        ([0.5, float("nan")], [0.5, None]),
        ([10**400, 1], [f"1{'0' * 400}", "1"]),
        ([123456789012345678, 0.5], ["123456789012345678", "0.5"]),
        ([2**53, 123456789012345680], [2.0**53, 123456789012345680.0]),
        ([None, 0.5], [None, "0.5"]),
        (["x", 1], ["x", "1"]),
    ],
)
def test_first_batch_defines_the_parquet_type_of_predictions(
    people: Path, predictions: list[Any], values: list[Any]
) -> None:
    content = write(people, "b.parquet", [{"p": value} for value in predictions], batch_size=1)
    assert read_parquet(content).column("p").to_pylist() == values


@pytest.mark.parametrize("later", ["x", 10**400, 123456789012345678])
def test_parquet_rejects_values_that_are_no_floats_after_numbers(people: Path, later: str | int) -> None:
    with pytest.raises(AkkioResponseError, match="'p' are numbers in the first rows, but in later rows text"):
        write(people, "b.parquet", [{"p": 1}, {"p": later}], batch_size=1)


def test_gzip_output_is_reproducible(people: Path) -> None:
    content = write(people, "b.csv.gz", SCORES)
    assert content[4:8] == bytes(4)
    assert gzip.decompress(content) == write(people, "b.csv", SCORES)


@pytest.mark.parametrize("is_parquet", [False, True])
def test_parquet_batches_are_gathered_in_row_groups(make_file: FileMaker, tmp_path: Path, is_parquet: bool) -> None:
    source = make_file("a.csv", b"a\n" + b"1\n" * 25_000)
    if is_parquet:
        source = write_parquet(tmp_path / "a.parquet", {"a": list(range(25_000))})
    content = write(source, "b.parquet", ({"p": 1} for _ in range(25_000)), batch_size=500)
    metadata = parquet.read_metadata(io.BytesIO(content))
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [10_000, 10_000, 5_000]
    assert metadata.num_columns == 2
    if is_parquet:
        assert read_parquet(content).column("a").to_pylist() == list(range(25_000))


@pytest.fixture
def target(tmp_path: Path) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(f"file://{tmp_path}/new/out.csv")


def names_in(target: Any) -> list[str]:
    return sorted(path.name for path in Path(target.path).parent.iterdir())


def test_atomic_write_replaces_the_target_at_the_end(target: Any) -> None:
    for content in (b"first", b"second"):
        with atomic_write(target, ("task", 1)) as file:
            file.write(content)
            assert b"second" not in (target.read_bytes() if target.exists() else b"")
        assert target.read_bytes() == content
    assert names_in(target) == ["out.csv"]


def fail_while_writing(target: Any, error: type[BaseException]) -> None:
    with atomic_write(target, "task") as file:
        file.write(b"new")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_write_keeps_the_target_after_an_error(target: Any, error: type[BaseException]) -> None:
    with atomic_write(target, "task") as file:
        file.write(b"old")
    with pytest.raises(error):
        fail_while_writing(target, error)
    assert target.read_bytes() == b"old"
    assert names_in(target) == ["out.csv"]


def test_atomic_write_deletes_temporary_files_of_previous_tokens_only(target: Any) -> None:
    with ExitStack() as killed_writers:
        for attempt in (1, 2, 9):
            killed_writers.enter_context(suppress(FileNotFoundError))
            killed_writers.enter_context(atomic_write(target, ("task", attempt)))
        temporary = names_in(target)
        assert len(temporary) == 3
        assert all(name.startswith(".out.csv.") and name.endswith(".part") for name in temporary)
        with atomic_write(target, ("task", 3), previous_tokens=[("task", 1), ("task", 2)]) as file:
            file.write(b"done")
        assert target.read_bytes() == b"done"
        assert "out.csv" in names_in(target)
        assert len(set(names_in(target)) & set(temporary)) == 1
