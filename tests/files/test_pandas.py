"""A table that pandas writes has the same rows in every format, and the exceptions that a format itself causes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pytest
from packaging.version import Version

from tests.files.conftest import column_of, rows_of

WRITERS: dict[str, Callable[[pandas.DataFrame, Path], Any]] = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    ".csv.gz": lambda table, path: table.to_csv(path, index=False),
    ".jsonl": lambda table, path: table.to_json(path, orient="records", lines=True),
    ".json": lambda table, path: table.to_json(path, orient="records"),
    ".parquet": lambda table, path: table.to_parquet(path),
    ".xlsx": lambda table, path: table.to_excel(path, index=False),
}
COLUMNS = {
    "boolean": [True, False, True],
    "category like a number": ["1", "2.0", "2E3"],
    "zip": ["01234", "00501", "90210"],
    "version": ["1.9", "1.10", "2.0"],
    "long id": ["123456789012345678", "123456789012345679", "900719925474099301"],
    "integer": [1, -7, 1234567890],
    "number": [0.5, 12345.67891, -0.001],
    "decimal": ["10.00", "42", "0.10"],
    "date": ["2024-01-31", "2024-02-29", "1999-12-31"],
    "moment": ["2024-01-31T10:00:00+01:00", "2024-02-29T00:00:00Z", "1999-12-31T23:59:59"],
    "missing": ["x", None, "y"],
    "missing number": [1.5, None, 2.25],
    "quoted": ['say "hi"', "a, b", "two\nlines"],
}
TEXTS = {
    **COLUMNS,
    "boolean": ["True", "False", "True"],
    "integer": ["1", "-7", "1234567890"],
    "number": ["0.5", "12345.67891", "-0.001"],
    "missing number": ["1.5", None, "2.25"],
}
EVERY_FORMAT = pytest.mark.parametrize("extension", WRITERS)


@pytest.fixture
def write(tmp_path: Path, extension: str) -> Callable[[pandas.DataFrame], Path]:
    def write_table(table: pandas.DataFrame) -> Path:
        path = tmp_path / f"table{extension}"
        WRITERS[extension](table, path)
        return path

    return write_table


@EVERY_FORMAT
def test_table_has_the_same_rows_in_every_format(write: Callable[[pandas.DataFrame], Path], extension: str) -> None:
    rows = rows_of(write(pandas.DataFrame(COLUMNS)))
    assert list(rows[0]) == list(COLUMNS)
    assert {name: [row[name] for row in rows] for name in TEXTS} == TEXTS


@EVERY_FORMAT
def test_categories_are_their_texts(write: Callable[[pandas.DataFrame], Path]) -> None:
    table = pandas.DataFrame({"a": pandas.Categorical(["01", "1.10", None]), "b": [1, 2, 3]})
    assert [row["a"] for row in rows_of(write(table))] == ["01", "1.10", None]


@EVERY_FORMAT
def test_integers_with_missing_values_become_floats(write: Callable[[pandas.DataFrame], Path], extension: str) -> None:
    """pandas itself turns them into floats, so ``1`` is ``1.0``; Excel has one type for both; ``Int64`` avoids it."""
    is_excel = extension == ".xlsx"
    table = pandas.DataFrame({"a": [1, None, 3]})
    assert column_of(write(table)) == (["1", None, "3"] if is_excel else ["1.0", None, "3.0"])
    table = pandas.DataFrame({"a": pandas.array([1, None, 3], "Int64")})
    assert column_of(write(table)) == ["1", None, "3"]


@EVERY_FORMAT
def test_long_integers_are_exact_except_in_excel(write: Callable[[pandas.DataFrame], Path], extension: str) -> None:
    """Excel stores 15 to 17 significant digits."""
    [text] = column_of(write(pandas.DataFrame({"a": [123456789012345678]})))
    assert (text == "123456789012345678") is (extension != ".xlsx")


@EVERY_FORMAT
@pytest.mark.parametrize(
    ("number", "text", "json_text"),
    [(0.12345678901234568, "0.12345678901234568", "0.123456789"), (1e-05, "1e-05", "0.00001")],
    ids=["digits", "exponent"],
)
def test_json_of_pandas_rounds_and_respells_floats(
    write: Callable[[pandas.DataFrame], Path], extension: str, number: float, text: str, json_text: str
) -> None:
    """pandas writes JSON with ten decimals and without an exponent; Excel files have 15 to 17 significant digits."""
    [written] = column_of(write(pandas.DataFrame({"a": [number]})))
    if extension == ".xlsx":
        assert float(str(written)) == pytest.approx(number)
    else:
        assert written == (json_text if "json" in extension else text)


@EVERY_FORMAT
def test_whole_floats_are_integers_in_excel(write: Callable[[pandas.DataFrame], Path], extension: str) -> None:
    expected = "42" if extension == ".xlsx" else "42.0"
    assert column_of(write(pandas.DataFrame({"a": [42.0]}))) == [expected]


@EVERY_FORMAT
@pytest.mark.filterwarnings("ignore:The default formatting of datetime")  # pandas 4 will write ISO 8601 to JSON
def test_timestamps_depend_on_the_format(write: Callable[[pandas.DataFrame], Path], extension: str) -> None:
    """pandas writes them to CSV with a space, and to JSON as milliseconds since 1970 (before pandas 4)."""
    texts = {".parquet": "2024-01-31T10:30:00", ".xlsx": "2024-01-31T10:30:00"}
    texts |= {".jsonl": "1706697000000", ".json": "1706697000000"}
    [text] = column_of(write(pandas.DataFrame({"a": pandas.to_datetime(["2024-01-31 10:30"])})))
    assert text == texts.get(extension, "2024-01-31 10:30:00")


@EVERY_FORMAT
def test_json_of_pandas_has_milliseconds_for_dates_and_no_infinities(
    write: Callable[[pandas.DataFrame], Path], extension: str
) -> None:
    [row] = rows_of(write(pandas.DataFrame({"date": [date(2024, 1, 31)], "number": [float("inf")], "a": ["x"]})))
    is_json = "json" in extension
    assert row["date"] == ("1706659200000" if is_json else "2024-01-31")
    assert row["number"] == (None if is_json else "inf")


@EVERY_FORMAT
def test_pandas_writes_some_decimals_as_floats(write: Callable[[pandas.DataFrame], Path], extension: str) -> None:
    """pandas 3 writes floats into Excel files, and pandas 2 into JSON."""
    as_floats = extension == ".xlsx" if Version(pandas.__version__).major >= 3 else "json" in extension
    expected = "1.1" if as_floats else "1.10"
    assert column_of(write(pandas.DataFrame({"a": [Decimal("1.10")]}))) == [expected]
