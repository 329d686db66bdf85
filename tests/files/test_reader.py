"""A file of rows, whatever its format: its summary, its batches, and files that cannot be opened."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files.reader import FileSummary, RowFile
from tests.files.conftest import FileMaker, write_parquet

CSV = b"id,age,name,empty\n1,2.5,x,\n2,,7,\n3,4,,\n"
JSON = b'{"id":1,"age":2.5,"name":"x","empty":null}\n{"id":2,"name":7}\n{"id":3,"age":4,"name":""}\n'


@pytest.fixture(params=["a.csv", "a.csv.gz", "a.jsonl", "a.ndjson.gz", "a.parquet"])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same three rows in each format."""
    name: str = request.param
    path = tmp_path / name
    if name == "a.parquet":
        columns = {"id": [1, 2, 3], "age": [2.5, None, 4.0], "name": ["x", "7", ""], "empty": [None] * 3}
        return write_parquet(path, columns)
    content = CSV if ".csv" in name else JSON
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def test_a_summary_tells_fields_rows_numbers_and_the_digest(people: Path) -> None:
    assert RowFile(people).inspect() == FileSummary(
        fields=("id", "age", "name", "empty"),
        rows=3,
        numbers=frozenset({"id", "age"}),
        integers=frozenset({"id"}),
        digest=hashlib.sha256(people.read_bytes()).hexdigest(),
    )


def test_a_category_is_no_number(people: Path) -> None:
    table = RowFile(people, {"id": "category", "empty": "string"})
    assert table.inspect().numbers == {"age"}
    assert [row["id"] for batch in table.batches(2) for row in batch.rows] == ["1", "2", "3"]


@pytest.mark.parametrize("skip", [0, 2, 3, 4])
def test_rows_come_in_batches_after_those_that_are_skipped(people: Path, skip: int) -> None:
    ids = [[row["id"] for row in batch.rows] for batch in RowFile(people).batches(2, skip)]
    assert ids == {0: [[1, 2], [3]], 2: [[3]], 3: [], 4: []}[skip]


def test_large_rows_are_cut_at_the_same_places_after_a_skip(make_file: FileMaker) -> None:
    rows = b"".join(b"%d,%s,%s\n" % (at, b"x" * (at * 7919 % 120_000), b"y" * 100_000) for at in range(120))
    table = RowFile(make_file("a.csv", b"id,x,y\n" + rows))
    sizes = [len(batch.rows) for batch in table.batches(40)]
    assert len(sizes) > 3
    assert max(sizes) < 40
    for ended in range(1, len(sizes)):
        assert [len(batch.rows) for batch in table.batches(40, sum(sizes[:ended]))] == sizes[ended:]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"a,b\n", "the file has no rows."),
        ("a.csv", b"a,b", "the file has no rows."),
        ("a.csv.gz", gzip.compress(b"a,b\r\n\r\n"), "the file has no rows."),
    ],
)
def test_a_header_alone_is_not_enough(make_file: FileMaker, name: str, content: bytes, problem: str) -> None:
    table = RowFile(make_file(name, content))
    assert list(table.batches(2)) == []
    with pytest.raises(AkkioSourceFileError, match=problem):
        table.inspect()


def test_a_type_of_a_field_that_is_not_there_is_refused(people: Path) -> None:
    with pytest.raises(AkkioSourceFileError, match="no field 'Age'; the fields are id, age, name, empty"):
        RowFile(people, {"Age": "number"}).inspect()


def test_an_unknown_type_is_refused_at_once(people: Path) -> None:
    with pytest.raises(
        AkkioParameterError, match="'age' must have one of the types category, number, string, not 'int'"
    ):
        RowFile(people, {"age": "int"})


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".jsonl", ".parquet"])
def test_what_is_no_file_is_refused(tmp_path: Path, ending: str) -> None:
    with pytest.raises(AkkioSourceFileError, match=r"missing.*: there is no such file"):
        RowFile(tmp_path / f"missing{ending}").inspect()
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(AkkioSourceFileError, match=r"folder.*: this is a folder, not a file"):
        RowFile(tmp_path / f"folder{ending}").inspect()


class Failing:
    name = "far.csv"

    def __init__(self, error: OSError) -> None:
        self.error = error

    def open(self, mode: str) -> Any:  # noqa: ARG002  # what is asked of a path
        raise self.error

    def __str__(self) -> str:
        return "s3://bucket/\x1b" + "x" * 500 + "/far.csv"


def test_a_missing_permission_is_said_with_a_short_name() -> None:
    with pytest.raises(AkkioSourceFileError, match="no permission to read the file") as error:
        RowFile(Failing(PermissionError(13, "no"))).inspect()
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def test_a_connection_that_breaks_is_left_to_a_later_try() -> None:
    with pytest.raises(ConnectionResetError):
        RowFile(Failing(ConnectionResetError())).inspect()


def test_a_path_of_airflow_is_read_as_well(people: Path) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    far = ObjectStoragePath(f"file://{people}")
    assert RowFile(far).inspect() == RowFile(people).inspect()
    assert list(RowFile(far).batches(2)) == list(RowFile(people).batches(2))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet")
    with pytest.raises(AkkioSourceFileError, match=r"Parquet needs airflow-provider-akkio\[parquet\]"):
        RowFile(path).inspect()


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys; import airflow_provider_akkio.exceptions; before = set(sys.modules);"
        "import airflow_provider_akkio.files.reader, airflow_provider_akkio.files.writer;"
        "print({name.partition('.')[0] for name in set(sys.modules) - before} & {'pyarrow', 'numpy', 'pandas'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_memory_does_not_grow_with_the_file(make_file: FileMaker) -> None:
    path = make_file(
        "a.csv", b"a,b,c,d\n" + b"1,some text of some length that is much in sum,2.5,2024-01-01\n" * 60_000
    )
    tracemalloc.start()
    try:
        RowFile(path).inspect()
        assert sum(len(batch.rows) for batch in RowFile(path).batches(500)) == 60_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
