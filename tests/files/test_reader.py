"""Row files in all formats: summary, batches, changes, encodings, and files that cannot be opened."""

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
from airflow_provider_akkio.files.reader import FileFormat, FileSummary, RowFile, file_format
from tests.files.conftest import ErrorReader, FileMaker, rows_of, write_parquet

CSV = b"id,age,name,empty\n1,2.5,x,\n2,,7,\n3,4.0,,\n"
JSON = b'{"id":1,"age":2.5,"name":"x","empty":null}\n{"id":2,"name":7}\n{"id":3,"age":4.0,"name":""}\n'


@pytest.fixture(params=["a.csv", "a.csv.gz", "a.jsonl", "a.ndjson.gz", "a.parquet"])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same three rows in each format."""
    path = tmp_path / request.param
    if path.name == "a.parquet":
        columns = {"id": [1, 2, 3], "age": [2.5, None, 4.0], "name": ["x", "7", ""], "empty": [None] * 3}
        return write_parquet(path, columns)
    content = CSV if ".csv" in path.name else JSON
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.csv", FileFormat.CSV),
        ("A.CSV.GZ", FileFormat.CSV),
        ("a.jsonl", FileFormat.JSON_LINES),
        ("a.jsonl.gz", FileFormat.JSON_LINES),
        ("a.ndjson", FileFormat.JSON_LINES),
        ("a.b.ndjson.gz", FileFormat.JSON_LINES),
        ("s3://bucket/a.Parquet", FileFormat.PARQUET),
    ],
)
def test_extension_defines_the_format(name: str, format_: FileFormat) -> None:
    assert file_format(name) is format_


@pytest.mark.parametrize("name", ["a", "a.xlsx", "a.parquet.gz", "csv", "a.csv.zip"])
def test_unknown_extension_is_rejected_with_the_known_ones(name: str) -> None:
    with pytest.raises(AkkioParameterError, match=r"\.csv, \.csv\.gz, .*\.parquet"):
        file_format(name)


def test_summary_has_fields_row_count_and_digest(people: Path) -> None:
    digest = hashlib.sha256(people.read_bytes()).hexdigest()
    assert RowFile(people).inspect() == FileSummary(("id", "age", "name", "empty"), 3, digest)


def test_rows_are_the_same_texts_in_every_format(people: Path) -> None:
    assert rows_of(people) == [
        {"id": "1", "age": "2.5", "name": "x", "empty": None},
        {"id": "2", "age": None, "name": "7", "empty": None},
        {"id": "3", "age": "4.0", "name": None, "empty": None},
    ]


@pytest.mark.parametrize(("skip", "ids"), [(0, [["1", "2"], ["3"]]), (2, [["3"]]), (3, []), (4, [])])
def test_batches_begin_after_the_skipped_rows(people: Path, skip: int, ids: list[list[str]]) -> None:
    file = RowFile(people)
    batches = file.batches(2, skip, expected=file.inspect())
    assert [[row["id"] for row in batch.rows] for batch in batches] == ids


def test_large_rows_have_the_same_boundaries_after_a_skip(make_file: FileMaker) -> None:
    rows = b"".join(b"%d,%s,%s\n" % (at, b"x" * (at * 7919 % 120_000), b"y" * 100_000) for at in range(120))
    file = RowFile(make_file("a.csv", b"id,x,y\n" + rows))
    sizes = [len(batch.rows) for batch in file.batches(40)]
    assert len(sizes) > 3
    assert max(sizes) < 40
    for ended in range(1, len(sizes)):
        assert [len(batch.rows) for batch in file.batches(40, sum(sizes[:ended]))] == sizes[ended:]


@pytest.mark.parametrize("content", [b"a,b\n", b"a,b", b"a,b\r\n\r\n"])
def test_header_without_rows_is_rejected(make_file: FileMaker, content: bytes) -> None:
    with pytest.raises(AkkioSourceFileError, match="the file has no rows"):
        RowFile(make_file("a.csv", content)).inspect()


def test_changed_fields_are_detected_before_the_first_batch(make_file: FileMaker) -> None:
    file = RowFile(make_file("a.csv", b"id,price\n1,100\n"))
    summary = file.inspect()
    make_file("a.csv", b"price,id\n100,1\n")
    with pytest.raises(AkkioSourceFileError, match="has changed since it was validated"):
        next(file.batches(10, expected=summary))


def test_changed_rows_are_detected_after_the_last_batch(make_file: FileMaker) -> None:
    file = RowFile(make_file("a.csv", b"id,price\n1,100\n2,200\n"))
    summary = file.inspect()
    make_file("a.csv", b"id,price\n1,100\n2,201\n")
    batches = file.batches(1, expected=summary)
    assert [next(batches).rows[0]["id"], next(batches).rows[0]["id"]] == ["1", "2"]
    with pytest.raises(AkkioSourceFileError, match="has changed since it was validated"):
        next(batches)


@pytest.mark.parametrize("marks", [1, 2])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_byte_order_marks_are_removed(make_file: FileMaker, name: str, marks: int) -> None:
    content = b"\xef\xbb\xbf" * marks + b"a\n1\n"
    assert rows_of(make_file(name, gzip.compress(content) if name.endswith(".gz") else content)) == [{"a": "1"}]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a\n1\n".encode("utf-16"), "the encoding of the file is UTF-16"),
        (b"\xfe\xff" + "a\n1\n".encode("utf-16-be"), "the encoding of the file is UTF-16"),
        ("a\n1\n".encode("utf-32"), "the encoding of the file is UTF-32"),
        ("\ufeffa\n1\n".encode("utf-32-be"), "the encoding of the file is UTF-32"),
        ("a\n1\n".encode("utf-16-le"), "line 1 has a NUL byte"),
        (b"a\n" + b"1\n" * 200_000 + b"\0\n", "line 200002 has a NUL byte"),
        (b"a\n" + b"1\n" * 200_000 + b"\xe9\n", "line 200002 is not valid UTF-8"),
        (b"a\n1\n" + b"x" * 20_000_000, "line 3 is longer than 4 MiB"),
        (b"a\n" + b"x" * 5_000_000 + b"\n1\n", "line 2 is longer than 4 MiB"),
    ],
)
def test_unreadable_text_is_rejected(
    make_file: FileMaker, source_error: ErrorReader, content: bytes, problem: str
) -> None:
    assert problem in source_error(make_file("a.csv", content))


GZIPPED = gzip.compress(b'{"a":1}\n' * 1000)


@pytest.mark.parametrize("content", [b"a\n1\n", GZIPPED[:-9], GZIPPED + b"x"], ids=["plain", "truncated", "garbage"])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_damaged_gzip_is_rejected(make_file: FileMaker, source_error: ErrorReader, name: str, content: bytes) -> None:
    assert "is not compressed by gzip" in source_error(make_file(name, content))


@pytest.mark.parametrize("extension", [".csv", ".csv.gz", ".jsonl", ".parquet"])
def test_missing_file_and_directory_are_rejected(tmp_path: Path, source_error: ErrorReader, extension: str) -> None:
    assert "does not exist" in source_error(tmp_path / f"missing{extension}")
    (tmp_path / f"directory{extension}").mkdir()
    assert "is a directory" in source_error(tmp_path / f"directory{extension}")


class FailingPath:
    name = "far.csv"

    def __init__(self, error: OSError) -> None:
        self.error = error

    def open(self, mode: str) -> Any:  # noqa: ARG002  # the interface of a path
        raise self.error

    def __str__(self) -> str:
        return "s3://bucket/\x1b" + "x" * 500 + "/far.csv"


def test_denied_permission_is_reported_with_a_short_name() -> None:
    with pytest.raises(AkkioSourceFileError, match="permission to read the file is denied") as error:
        RowFile(FailingPath(PermissionError(13, "no"))).inspect()
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def test_lost_connection_is_not_converted() -> None:
    with pytest.raises(ConnectionResetError):
        RowFile(FailingPath(ConnectionResetError())).inspect()


def test_object_storage_path_is_read(people: Path) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    remote = ObjectStoragePath(f"file://{people}")
    assert RowFile(remote).inspect() == RowFile(people).inspect()
    assert [batch.rows for batch in RowFile(remote).batches(2)] == [batch.rows for batch in RowFile(people).batches(2)]


def test_import_loads_no_data_library() -> None:
    program = (
        "import sys; import airflow_provider_akkio.exceptions; before = set(sys.modules);"
        "import airflow_provider_akkio.files.reader, airflow_provider_akkio.files.writer;"
        "print({name.partition('.')[0] for name in set(sys.modules) - before} & {'pyarrow', 'numpy', 'pandas'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_memory_does_not_grow_with_the_file(make_file: FileMaker) -> None:
    row = b"1,some text of some length that is much in sum,2.5,2024-01-01\n"
    path = make_file("a.csv", b"a,b,c,d\n" + row * 60_000)
    tracemalloc.start()
    try:
        RowFile(path).inspect()
        assert sum(len(batch.rows) for batch in RowFile(path).batches(500)) == 60_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
