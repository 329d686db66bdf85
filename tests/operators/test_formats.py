"""The same table in every format gives the same model and the same, correct predictions."""

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
from tests.airflow_runs import RunTask

ROWS = 120
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


@pytest.mark.parametrize("extension", WRITERS)
def test_predictions_are_correct_whatever_the_formats(
    run_task: RunTask, sandbox: Sandbox, table: pd.DataFrame, files: dict[str, Path], extension: str
) -> None:
    run = run_task(
        "AkkioUploadDatasetOperator",
        task_id="upload",
        source_path=str(files[extension]),
        dataset_name=f"table{extension}",
        field_types=dict.fromkeys(("version", "zip", "plan"), "category"),
    )
    dataset_id = run.xcoms("upload")["dataset_id"]
    assert sandbox.datasets[dataset_id].rows[3][:5] == ("1.10", "01067", "False", "1", "123456789012345681")
    hook = AkkioHook()
    for target in ("won", "region"):
        training = hook.submit_training(TrainRequest(dataset_id=dataset_id, predict_fields=target))
        hook.poll_until_done(training, poll_interval=0.05)
        model_id = hook.get_training_result(training.akkio_task_id).model_id
        for path in files.values():
            [batch] = RowFile(path).batches(ROWS)
            predictions = hook.predict(model_id, batch.rows)
            assert [prediction[target] for prediction in predictions] == list(table[target]), path.name
