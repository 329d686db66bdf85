"""Rows written with predictions beside them, from and to each format."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from airflow_provider_akkio.exceptions import AkkioResponseError, AkkioSourceFileError
from airflow_provider_akkio.files.formats import kind_of
from airflow_provider_akkio.files.reader import RowFile
from airflow_provider_akkio.files.writer import writer_for
from tests.files.conftest import FileMaker, rows_of, write_parquet

Predictions = Iterable[Any]


def written(source: Path, name: str, predictions: Predictions, most_rows: int = 2, types: Any = None) -> bytes:
    table = RowFile(source, types or {})
    file, left = io.BytesIO(), iter(predictions)
    with writer_for(file, kind_of(name), table, table.inspect()) as writer:
        for batch in table.batches(most_rows):
            writer.write(batch, [next(left) for _ in batch.rows])
    assert not file.closed
    return file.getvalue()


@pytest.fixture
def people(make_file: FileMaker) -> Path:
    return make_file("people.csv", 'id,näme,x\n007,"A, ""é""\rB",1.10\n8,,\n'.encode())


SCORES = [{"win": "yes", "p": 0.75}, {"win": "no"}]


def test_from_csv_to_csv_each_text_stays_as_it_was(people: Path) -> None:
    assert written(people, "b.csv", SCORES).decode() == ('id,näme,x,win,p\n007,"A, ""é""\rB",1.10,yes,0.75\n8,,,no,\n')


def test_a_carriage_return_in_a_cell_is_quoted_as_a_reader_needs_it(make_file: FileMaker) -> None:
    source = make_file("a.csv", b'a\n"x\ry"\n')
    assert written(source, "b.csv", [{"p": 1}]) == b'a,p\n"x\ry",1\n'


def test_from_json_lines_to_json_lines_each_value_stays_as_it_was(make_file: FileMaker) -> None:
    source = make_file("a.jsonl", '{"a":true,"b":1.0,"c":"é"}\n{"a":"","b":NaN}\n'.encode())
    assert written(source, "b.jsonl", [{"p": [1, {"x": None}]}, {"p": float("inf")}]).decode() == (
        '{"a": true, "b": 1.0, "c": "é", "p": [1, {"x": null}]}\n{"a": "", "b": null, "c": null, "p": null}\n'
    )


def test_from_parquet_to_parquet_each_type_stays_as_it_was(tmp_path: Path) -> None:
    columns = {
        "i": arrow.array([1, None, 3], arrow.int8()),
        "f": arrow.array([1.5, float("nan"), None], arrow.float32()),
        "d": arrow.array([Decimal("1.10"), None, None], arrow.decimal128(9, 2)),
        "b": [True, None, False],
        "day": [date(2024, 1, 2), None, None],
        "t": arrow.array([2**60 + 1, None, 1], arrow.timestamp("ns", "UTC")),
        "time": arrow.array([1, None, 3], arrow.time64("ns")),
        "c": arrow.array(["x", "y", None]).dictionary_encode(),
        "none": [None] * 3,
    }
    source = write_parquet(tmp_path / "a.parquet", columns)
    content = written(source, "b.parquet", [{"p": 1}, {"p": None}, {"p": 0.5}], types={"i": "category"})
    table = parquet.read_table(io.BytesIO(content))
    before = parquet.read_table(source)
    assert table.schema.types[:-1] == before.schema.types
    for name in columns:
        texts = [one.column(name).cast(arrow.string()).to_pylist() for one in (table, before)]
        assert texts[0] == texts[1]
    assert table.column("p").to_pylist() == [1.0, None, 0.5]


CONTENT = {
    "a.csv": b"id,age,name\n1,2.5,x\n2,,7\n3,4,\n",
    "a.csv.gz": gzip.compress(b"id,age,name\n1,2.5,x\n2,,7\n3,4,\n"),
    "a.jsonl": b'{"id":1,"age":2.5,"name":"x"}\n{"id":2,"name":"7"}\n{"id":3,"age":4,"name":""}\n',
}


@pytest.mark.parametrize("to", ["b.csv", "b.csv.gz", "b.jsonl", "b.ndjson.gz", "b.parquet"])
@pytest.mark.parametrize("source", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"])
def test_rows_and_predictions_are_the_same_in_every_format(
    make_file: FileMaker, tmp_path: Path, source: str, to: str
) -> None:
    if source == "a.parquet":
        columns = {"id": [1, 2, 3], "age": [2.5, None, 4.0], "name": ["x", "7", None]}
        path = write_parquet(tmp_path / source, columns)
    else:
        path = make_file(source, CONTENT[source])
    predictions = [{"win": word, "p": number} for word, number in [("yes", 0.5), ("no", None), (None, 1)]]
    content = written(path, to, predictions)
    rows = rows_of(make_file(to, content), {"name": "string"})
    assert rows == [
        {**row, **prediction} for row, prediction in zip(rows_of(path, {"name": "string"}), predictions, strict=True)
    ]


def test_parquet_has_integers_where_they_are_known_else_doubles_else_text(make_file: FileMaker) -> None:
    source = make_file("a.csv", b"i,f,t,e,zip\n1,2,1.10,,8001\n,2.5,x,,8002\n")
    content = written(source, "b.parquet", [{}, {}], types={"zip": "category"})
    table = parquet.read_table(io.BytesIO(content))
    assert list(map(str, table.schema.types)) == ["int64", "double", "string", "string", "string"]
    assert table.to_pylist() == [
        {"i": 1, "f": 2.0, "t": "1.10", "e": None, "zip": "8001"},
        {"i": None, "f": 2.5, "t": "x", "e": None, "zip": "8002"},
    ]


def test_integers_that_no_64_bits_hold_are_doubles_in_parquet(make_file: FileMaker) -> None:
    source = make_file("a.jsonl", b'{"a":%d}\n{"a":1}\n{"a":%d}\n' % (10**20, 10**400))
    table = parquet.read_table(io.BytesIO(written(source, "b.parquet", [{}, {}, {}])))
    assert table.column("a").to_pylist() == [1e20, 1.0, None]


def test_a_name_that_the_source_has_is_marked_as_predicted(people: Path) -> None:
    head = written(people, "b.csv", [{"x": 1, "y": 2}] * 2).decode().splitlines()[0]
    assert head == "id,näme,x,x (predicted),y"


@pytest.mark.parametrize("header", [b"x,x (predicted)", b"x,y"])
def test_a_name_that_cannot_be_marked_is_refused(make_file: FileMaker, header: bytes) -> None:
    source = make_file("a.csv", header + b"\n1,2\n")
    for name in ("b.csv", "b.jsonl", "b.parquet"):
        with pytest.raises(
            AkkioSourceFileError, match=r"'x' has nowhere to go, since 'x' and 'x \(predicted\)' are both"
        ):
            written(source, name, [{"x": 1, "x (predicted)": 2}])


@pytest.mark.parametrize("name", ["b.csv", "b.jsonl", "b.parquet"])
def test_a_key_that_only_later_predictions_have_is_no_answer_of_akkio(people: Path, name: str) -> None:
    with pytest.raises(AkkioResponseError, match="suddenly have 'q'"):
        written(people, name, [{"p": 1}, {"p": 1, "q": 2}], most_rows=1)


def test_the_columns_are_those_of_all_predictions_of_the_first_batch(people: Path) -> None:
    lines = written(people, "b.csv", [{"p": 1}, {"q": 2, "p": None}]).decode().splitlines()
    assert (lines[0], lines[-1]) == ("id,näme,x,p,q", "8,,,,2")


def test_nested_predictions_are_json_where_cells_are_flat(people: Path) -> None:
    predictions = [{"why": {"é": [1, float("nan")]}, "sure": True}, {"why": None, "sure": False}]
    assert written(people, "b.csv", predictions).decode().endswith('1.10,"{""é"": [1, null]}",true\n8,,,,false\n')
    table = parquet.read_table(io.BytesIO(written(people, "b.parquet", predictions)))
    assert table.column("why").to_pylist() == ['{"é": [1, null]}', None]
    assert table.column("sure").to_pylist() == ["true", "false"]
    assert '"why": {"é": [1, null]}, "sure": true}' in written(people, "b.jsonl", predictions).decode()


def test_parquet_predictions_of_nothing_yet_become_text(people: Path) -> None:
    content = written(people, "b.parquet", [{"p": None}, {"p": 0.5}], most_rows=1)
    assert parquet.read_table(io.BytesIO(content)).column("p").to_pylist() == [None, "0.5"]


def test_a_text_among_numbers_in_parquet_is_no_answer_of_akkio(people: Path) -> None:
    with pytest.raises(AkkioResponseError, match="suddenly have texts"):
        written(people, "b.parquet", [{"p": 1}, {"p": "x"}], most_rows=1)


def test_the_same_rows_make_the_same_gzip(people: Path) -> None:
    content = written(people, "b.csv.gz", SCORES)
    assert content[4:8] == bytes(4)
    assert gzip.decompress(content) == written(people, "b.csv", SCORES)


@pytest.mark.parametrize(("name", "rows"), [("b.csv", b"id,n\xc3\xa4me,x\n"), ("b.jsonl", b""), ("b.parquet", None)])
def test_nothing_written_is_still_a_whole_file(people: Path, name: str, rows: bytes | None) -> None:
    table, file = RowFile(people), io.BytesIO()
    writer_for(file, kind_of(name), table, table.inspect()).close()
    if rows is None:
        assert parquet.read_table(io.BytesIO(file.getvalue())).column_names == ["id", "näme", "x"]
    else:
        assert file.getvalue() == rows


def test_parquet_gathers_batches_into_row_groups(make_file: FileMaker) -> None:
    source = make_file("a.csv", b"a\n" + b"1\n" * 25_000)
    content = written(source, "b.parquet", ({"p": 1} for _ in range(25_000)), most_rows=500)
    metadata = parquet.read_metadata(io.BytesIO(content))
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [10_000, 10_000, 5_000]
