"""The same table in every format and database gives the same model and the same, correct predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.files.reader import RowFile
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.transfers._query import Stopper, open_query
from tests.airflow_runs import RunTask
from tests.transfers.conftest import DRIVERS, OpenWarehouse, Warehouse, open_warehouse, postgresql

__all__ = ["open_warehouse", "postgresql"]  # fixtures

ROWS = 120
DATABASES = ("sqlite", DRIVERS[0])
VERSIONS = ["beta", "1.9", "2.0", "1.10"]
ZIP_CODES = ["01067", "1067", "80331"]
WON = {"1.10": "yes", "1.9": "no", "2.0": "no", "beta": "no"}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """A table whose outcome depends on texts that differ, unless a reader takes them for numbers."""
    numbers = range(ROWS)
    versions = [VERSIONS[number % 4] for number in numbers]
    zip_codes = [ZIP_CODES[number % 3] for number in numbers]
    return pd.DataFrame(
        {
            "version": versions,
            "zip": zip_codes,
            "flag": [number % 5 == 0 for number in numbers],
            "plan": [str(number % 3 + 1) for number in numbers],
            "id": [123456789012345678 + number for number in numbers],
            "amount": [number * 1.25 for number in numbers],
            "price": [f"{number}.10" for number in numbers],
            "day": [f"2026-11-{number % 28 + 1:02}" for number in numbers],
            "note": [None if number % 7 == 0 else f"n{number % 2}" for number in numbers],
            "won": [WON[version] for version in versions],
            "region": ["east" if code.startswith("0") else "west" for code in zip_codes],
        }
    )


def _write_excel(frame: pd.DataFrame, path: Path) -> None:
    # Excel stores numbers as floats, which cannot hold 18 digits.
    frame.astype({"id": str}).to_excel(path, index=False)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv.gz": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    ".json": lambda frame, path: frame.to_json(path, orient="records"),
    ".parquet": lambda frame, path: frame.to_parquet(path),
    ".xlsx": _write_excel,
}


@pytest.fixture(scope="module")
def files(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The table in every format."""
    folder = tmp_path_factory.mktemp("formats")
    paths = {extension: folder / f"table{extension}" for extension in WRITERS}
    for extension, write in WRITERS.items():
        write(table, paths[extension])
    return paths


def _write_database(frame: pd.DataFrame, database: Warehouse) -> None:
    flag = "boolean" if database.is_postgresql else "text"  # SQLite stores a boolean as 0 or 1
    types = {"flag": flag, "id": "bigint", "amount": "double precision"}
    columns = ", ".join(f"{name} {types.get(name, 'text')}" for name in frame.columns)
    rows = ", ".join(f"({', '.join(map(_to_literal, row))})" for row in frame.itertuples(index=False))
    database.execute(f"CREATE TABLE source ({columns})", f"INSERT INTO source VALUES {rows}")


def _to_literal(value: Any) -> str:
    if pd.isna(value):
        return "NULL"
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else f"'{value}'"


@pytest.fixture
def sources(table: pd.DataFrame, files: dict[str, Path], request: pytest.FixtureRequest) -> dict[str, Path | Warehouse]:
    """The table in every format and database; the connection to a database has the name of its driver."""
    open_: OpenWarehouse = request.getfixturevalue("open_warehouse")
    databases = {kind: open_(kind, kind) for kind in DATABASES}
    for database in databases.values():
        _write_database(table, database)
    return {**files, **databases}


def _query(kind: str) -> dict[str, Any]:
    return {"sql": "SELECT * FROM source ORDER BY id", "sql_conn_id": kind}


def _read(source: Path | Warehouse) -> list[dict[str, Any]]:
    """Return the rows of a source as they go to Akkio."""
    if isinstance(source, Path):
        [batch] = RowFile(source).batches(ROWS)
        return batch.rows
    values = {**_query(source.kind), "parameters": None, "null_values": (), "on_empty": "fail"}
    with open_query(values, Stopper()) as (rows, summary):
        [batch] = rows.batches(ROWS, expected=summary)
        return batch.rows


@pytest.mark.parametrize("name", [*WRITERS, *DATABASES])
def test_predictions_are_correct_whatever_the_formats(
    run_task: RunTask,
    sandbox: Sandbox,
    table: pd.DataFrame,
    sources: dict[str, Path | Warehouse],
    name: str,
) -> None:
    source = sources[name]
    is_file = isinstance(source, Path)
    run = run_task(
        "AkkioUploadDatasetOperator" if is_file else "SqlToAkkioDatasetOperator",
        task_id="upload",
        dataset_name=f"table of {name}",
        field_types=dict.fromkeys(("version", "zip", "plan"), "category"),
        **({"source_path": str(source)} if is_file else _query(name)),
    )
    dataset_id = run.xcoms("upload")["dataset_id"]
    assert sandbox.datasets[dataset_id].rows[3][:5] == ("1.10", "01067", "False", "1", "123456789012345681")
    hook = AkkioHook()
    for target in ("won", "region"):
        training = hook.submit_training(TrainRequest(dataset_id=dataset_id, predict_fields=target))
        hook.poll_until_done(training, poll_interval=0.05)
        model_id = hook.get_training_result(training.akkio_task_id).model_id
        for other in sources.values():
            predictions = hook.predict(model_id, _read(other))
            assert [prediction[target] for prediction in predictions] == list(table[target]), other
        if isinstance(source, Warehouse):
            predicted = {"model_id": model_id, "table": f"predicted_{target}"}
            run_task("SqlToAkkioPredictionOperator", task_id="predict", **_query(name), **predicted)
            written = source.rows(f'SELECT "{target} (predicted)" FROM predicted_{target} ORDER BY id')
            assert [value for (value,) in written] == list(table[target])
