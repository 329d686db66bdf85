"""Row files in all formats: summary, batches, changes, encodings, and files that cannot be opened."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files.formats import FileFormat, file_format, output_format
from airflow_provider_akkio.files.reader import ReadOptions, RowFile
from tests.files.conftest import ErrorReader, FileMaker, column_of, rows_of, write_excel, write_parquet

CSV = b"id,age,name,empty\n1,2.5,x,\n2,,7,\n3,4.5,,\n"
JSON = b'{"id":1,"age":2.5,"name":"x","empty":null}\n{"id":2,"name":7}\n{"id":3,"age":4.5,"name":""}\n'


TEXTS = {
    ".csv": CSV,
    ".tsv": CSV.replace(b",", b"\t"),
    ".jsonl": JSON,
    ".json": b"[" + JSON.strip().replace(b"\n", b",") + b"]",
}
COMPRESSORS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pyarrow.compress(content, "zstd", asbytes=True),
}


@pytest.fixture(
    params=[*TEXTS, ".csv.gz", ".csv.bz2", ".csv.zst", ".tsv.gz", ".ndjson.gz", ".json.zst", ".parquet", ".xlsx"],
)
def people(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same three rows in each format."""
    path = tmp_path / f"a{request.param}"
    fields = ["id", "age", "name", "empty"]
    columns: list[list[Any]] = [[1, 2, 3], [2.5, None, 4.5], ["x", "7", ""], [None] * 3]
    if request.param == ".parquet":
        return write_parquet(path, dict(zip(fields, columns, strict=True)))
    if request.param == ".xlsx":
        return write_excel(path, [fields, *map(list, zip(*columns, strict=True))])
    extension, _, compression = request.param.removeprefix(".").replace("ndjson", "jsonl").partition(".")
    path.write_bytes(COMPRESSORS.get(f".{compression}", bytes)(TEXTS[f".{extension}"]))
    return path


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.csv", FileFormat.CSV),
        ("A.CSV.GZ", FileFormat.CSV),
        ("a.csv.bz2", FileFormat.CSV),
        ("a.tsv.zst", FileFormat.TSV),
        ("a.jsonl", FileFormat.JSON_LINES),
        ("a.jsonl.gz", FileFormat.JSON_LINES),
        ("a.ndjson", FileFormat.JSON_LINES),
        ("a.b.ndjson.gz", FileFormat.JSON_LINES),
        ("a.json", FileFormat.JSON),
        ("a.json.gz", FileFormat.JSON),
        ("s3://bucket/a.Parquet", FileFormat.PARQUET),
        ("a.XLSX", FileFormat.EXCEL),
    ],
)
def test_extension_defines_the_format(name: str, format_: FileFormat) -> None:
    assert file_format(name) is format_


@pytest.mark.parametrize("name", ["a", "a.xls", "a.parquet.gz", "a.xlsx.gz", "csv", "a.csv.zip", "a.gz"])
@pytest.mark.parametrize("function", [file_format, output_format])
def test_unknown_extension_is_rejected_with_the_known_ones(name: str, function: Any) -> None:
    with pytest.raises(
        AkkioParameterError, match=r"one of \.csv, \.tsv, .*\.parquet, .* followed by \.gz, \.bz2, \.zst"
    ):
        function(name)


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.xlsx"])
def test_output_format_must_be_writable(name: str) -> None:
    with pytest.raises(
        AkkioParameterError, match=r"cannot be written as .* \.csv, \.tsv, \.jsonl, \.ndjson, \.parquet;"
    ):
        output_format(name)


def test_summary_has_fields_row_count_and_digest(people: Path) -> None:
    summary = RowFile(people).inspect()
    assert (summary.fields, summary.row_count) == (("id", "age", "name", "empty"), 3)
    assert RowFile(people).inspect() == summary
    with people.open("ab") as file:
        file.write(b"\n")
    with contextlib.suppress(AkkioSourceFileError):
        assert RowFile(people).inspect().digest != summary.digest


@pytest.mark.parametrize(
    "options",
    [
        {"null_values": ("NA",)},
        {"columns": ("id",)},
        {"exclude_columns": ("id",)},
        {"delimiter": ","},
        {"encoding": "latin-1"},
    ],
)
def test_digest_depends_on_the_options(make_file: FileMaker, options: dict[str, Any]) -> None:
    path = make_file("a.csv", CSV)
    default = RowFile(path).inspect().digest
    assert RowFile(path, ReadOptions(**options)).inspect().digest != default
    assert RowFile(path, ReadOptions(number_fields=frozenset({"id"}))).inspect().digest == default


def test_rows_are_the_same_texts_in_every_format(people: Path) -> None:
    assert rows_of(people) == [
        {"id": "1", "age": "2.5", "name": "x", "empty": None},
        {"id": "2", "age": None, "name": "7", "empty": None},
        {"id": "3", "age": "4.5", "name": None, "empty": None},
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
def test_header_without_rows_has_fields_and_no_rows(make_file: FileMaker, content: bytes) -> None:
    file = RowFile(make_file("a.csv", content))
    summary = file.inspect()
    assert (summary.fields, summary.row_count) == (("a", "b"), 0)
    assert list(file.batches(10, expected=summary)) == []


def test_selected_columns_keep_the_order_of_the_file(people: Path) -> None:
    first = {"id": "1", "name": "x"}
    assert rows_of(people, columns=("name", "id"))[0] == first
    assert rows_of(people, exclude_columns=("age", "empty"))[0] == first
    summary = RowFile(people, ReadOptions(columns=("name", "id"))).inspect()
    assert summary.fields == ("id", "name")


@pytest.mark.parametrize("parameter", ["columns", "exclude_columns"])
def test_unknown_column_is_rejected_with_the_fields(people: Path, source_error: ErrorReader, parameter: str) -> None:
    error = source_error(people, **{parameter: ("id", "Name")})
    assert f"no field 'Name', which {parameter} names. Its fields are id, age, name, empty." in error


def test_selection_without_columns_is_rejected(people: Path, source_error: ErrorReader) -> None:
    assert "no field is left" in source_error(people, exclude_columns=("id", "age", "name", "empty"))


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_unnamed_or_duplicate_column_blocks_only_if_it_is_selected(
    make_file: FileMaker, source_error: ErrorReader, name: str
) -> None:
    rows = [["", "a", "b", "b"], ["0", "x", "y", "z"]]
    path = make_file(name, "\n".join(",".join(row) for row in rows).encode())
    if name == "a.xlsx":
        write_excel(path, rows)
    assert rows_of(path, columns=("a",)) == rows_of(path, exclude_columns=("", "b")) == [{"a": "x"}]
    assert "field 1 has no name. To leave it out, set columns or exclude_columns." in source_error(path)
    assert "two fields have the name 'b'" in source_error(path, exclude_columns=("",))


def test_null_values_are_null_and_the_empty_text_always_is(people: Path) -> None:
    assert column_of(people, null_values=("x", "nope"), columns=("name",)) == [None, "7", None]


def test_null_values_do_not_apply_to_numbers(make_file: FileMaker, tmp_path: Path) -> None:
    assert column_of(make_file("a.jsonl", b'{"a":0}\n{"a":"0"}\n'), null_values=("0",)) == ["0", None]
    assert column_of(write_excel(tmp_path / "a.xlsx", [["a"], [0], ["0"]]), null_values=("0",)) == ["0", None]


def test_text_in_a_number_field_is_rejected_with_its_place(people: Path, source_error: ErrorReader) -> None:
    place = "line" if any(text in people.name for text in (".csv", ".tsv", ".jsonl", ".ndjson")) else "row"
    number = 2 if any(text in people.name for text in (".csv", ".tsv", ".xlsx")) else 1
    error = source_error(people, number_fields=frozenset({"id", "age", "name"}))
    assert f"{place} {number} has 'x' in the field 'name'" in error
    assert "null_values" in error
    assert (
        RowFile(people, ReadOptions(number_fields=frozenset({"id", "age", "name"}), null_values=("x",)))
        .inspect()
        .row_count
        == 3
    )


@pytest.mark.parametrize("text", ["1", "-1.5", "+.5", "2E3", "1e-400", " 7 ", "0" * 30, "5."])
def test_number_may_have_any_spelling(make_file: FileMaker, text: str) -> None:
    path = make_file("a.csv", f"a\n{text}\n".encode())
    assert column_of(path, number_fields=frozenset({"a"})) == [text]


@pytest.mark.parametrize(
    "text", ["n/a", "nan", "inf", "1_000", "1 000", "1'000", "0x1f", "0\x1f", "e5", ".", "True", "٣"]
)
def test_other_text_is_not_a_number(make_file: FileMaker, source_error: ErrorReader, text: str) -> None:
    path = make_file("a.csv", f"a\n\n{text}\n".encode())
    assert "line 3 has" in source_error(path, number_fields=frozenset({"a"}))


def test_field_names_with_spaces_are_kept_with_one_warning(
    make_file: FileMaker, caplog: pytest.LogCaptureFixture
) -> None:
    file = RowFile(make_file("a.csv", b" Positive Lead ,b\n1,2\n"))
    assert [batch.rows for batch in file.batches(5, expected=file.inspect())] == [[{" Positive Lead ": "1", "b": "2"}]]
    assert [record.message.partition(": ")[2] for record in caplog.records] == ["' Positive Lead '"]


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
        (gzip.compress(b"a\n1\n"), "is compressed by gzip"),
        (bz2.compress(b"a\n1\n"), "is compressed by bzip2"),
        (b"\x28\xb5\x2f\xfd", "is compressed by Zstandard"),
        (b"PK\x03\x04", "is an Excel file (.xlsx)"),
        (b"\xd0\xcf\x11\xe0", "is an old Excel file"),
        (b"PAR1", "is a Parquet file"),
        (b"\n <!DOCTYPE html>\n<html>", "is an HTML page"),
        (b"\xef\xbb\xbf<HTML lang='de'>", "is an HTML page"),
        (b'<?xml version="1.0"?>\n<html>', "is an HTML page"),
        (b"a\n" * 3 + b"\xe9,\n", "line 4 is not valid UTF-8; save the file as UTF-8, or set encoding"),
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


def test_doubly_compressed_file_is_rejected(make_file: FileMaker, source_error: ErrorReader) -> None:
    assert "compressed by gzip" in source_error(make_file("a.csv.gz", gzip.compress(gzip.compress(b"a\n1\n"))))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_encoding_is_that_of_the_parameter(make_file: FileMaker, encoding: str, name: str) -> None:
    text = {"a.csv": "ä,b\né,1\n", "a.jsonl": '{"ä":"é","b":1}\n', "a.json": '[{"ä":"é","b":1}]'}[name]
    path = make_file(name, text.encode(encoding))
    assert rows_of(path, encoding=encoding) == [{"ä": "é", "b": "1"}]


def test_byte_order_mark_of_another_encoding_is_rejected(make_file: FileMaker, source_error: ErrorReader) -> None:
    error = source_error(make_file("a.csv", b"\xef\xbb\xbfa\n1\n"), encoding="latin-1")
    assert "the encoding of the file is UTF-8" in error


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"encoding": "utf-9"}, "encoding must be a text encoding"),
        ({"encoding": "base64"}, "encoding must be a text encoding"),
        ({"encoding": ""}, "encoding must be a text encoding"),
        ({"delimiter": ""}, "delimiter must be one character"),
        ({"delimiter": ";;"}, "delimiter must be one character"),
        ({"delimiter": '"'}, "delimiter must be one character"),
        ({"columns": ("a", "b"), "exclude_columns": ("b",)}, "both contain 'b'"),
    ],
)
def test_invalid_option_is_rejected(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(AkkioParameterError, match=problem):
        ReadOptions(**options)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.jsonl", {"delimiter": ";"}), ("a.csv", {"sheet_name": "x"}), ("a.xlsx", {"delimiter": ";"})],
)
def test_option_of_another_format_is_rejected(name: str, options: dict[str, str]) -> None:
    with pytest.raises(AkkioParameterError, match=f"{next(iter(options))} applies only to"):
        RowFile(Path(name), ReadOptions(**options))


@pytest.mark.parametrize("damage", ["plain", "truncated", "garbage"])
@pytest.mark.parametrize("compression", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_damaged_compression_is_rejected(
    make_file: FileMaker, source_error: ErrorReader, name: str, compression: str, damage: str
) -> None:
    compressed = COMPRESSORS[compression](b'{"a":1}\n' * 1000)
    content = {"plain": b"a\n1\n", "truncated": compressed[:-9], "garbage": compressed[:20] + b"x" * 50}[damage]
    error = source_error(make_file(name + compression, content))
    assert f"the extension is {compression}, but the file is damaged or is not compressed by" in error


def test_missing_pyarrow_is_reported_for_zst(make_file: FileMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(AkkioParameterError, match=r"\.zst need pyarrow. Install airflow-provider-akkio\[parquet\]"):
        RowFile(make_file("a.csv.zst", b"")).inspect()


@pytest.mark.parametrize("extension", [".csv", ".csv.gz", ".jsonl", ".json", ".parquet", ".xlsx"])
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
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(loaded & {'pyarrow', 'numpy', 'pandas', 'python_calamine'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_memory_does_not_grow_with_the_file(make_file: FileMaker, name: str) -> None:
    values = ["1", "some text of some length that is much in sum", "2.5", "2024-01-01"]
    if name == "a.csv":
        content = "a,b,c,d\n" + (",".join(values) + "\n") * 20_000
    else:
        rows = [json.dumps(dict(zip("abcd", values, strict=True)))] * 20_000
        content = "\n".join(rows) if name == "a.jsonl" else f"[{', '.join(rows)}]"
    path = make_file(name, content.encode())
    del content, values
    tracemalloc.start()
    try:
        summary = RowFile(path).inspect()
        assert sum(len(batch.rows) for batch in RowFile(path).batches(500, expected=summary)) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
