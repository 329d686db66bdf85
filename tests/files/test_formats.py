"""Which endings say what."""

from __future__ import annotations

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.files.formats import FileKind, Format, kind_of


@pytest.mark.parametrize(
    ("name", "format_", "is_gzipped"),
    [
        ("a.csv", Format.CSV, False),
        ("A.CSV.GZ", Format.CSV, True),
        ("a.jsonl", Format.JSON_LINES, False),
        ("a.jsonl.gz", Format.JSON_LINES, True),
        ("a.ndjson", Format.JSON_LINES, False),
        ("a.b.ndjson.gz", Format.JSON_LINES, True),
        ("s3://bucket/a.Parquet", Format.PARQUET, False),
    ],
)
def test_the_ending_says_the_kind(name: str, format_: Format, is_gzipped: bool) -> None:
    assert kind_of(name) == FileKind(format_, is_gzipped)


@pytest.mark.parametrize("name", ["a", "a.xlsx", "a.parquet.gz", "csv", "a.csv.zip"])
def test_another_ending_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(AkkioParameterError, match=r"\.csv, \.csv\.gz, .*\.parquet\.$"):
        kind_of(name)
