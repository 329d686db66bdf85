"""Upload, training, promotion and prediction in a real Airflow: a better model is promoted, a worse one is not."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from dev.airflow_api import AirflowApi
from dev.processes import wait_until
from dev.stack import EXAMPLES, SANDBOX_KEY, Stack
from tests.airflow_runs import essential_xcoms

RETRAIN = "akkio_retrain_weekly"
PREDICT = "akkio_predict_leads"
GOOD_ROWS = EXAMPLES / "rows" / "leads.csv"
NEW_ROWS = EXAMPLES / "rows" / "new_leads.csv"


@dataclass(frozen=True)
class RunIds:
    """IDs of the three runs.

    :param good: training with good rows.
    :param prediction: the run that was started by the asset event of ``good``.
    :param worse: training with worse rows.
    """

    good: str
    prediction: str
    worse: str


@pytest.fixture(scope="module")
def run_ids(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> RunIds:
    """Finished runs with good rows, and then with worse rows."""
    api = stack.api
    good = api.trigger(RETRAIN)
    assert api.follow(RETRAIN, good) == "success"
    wait_until(lambda: bool(api.runs(PREDICT)), "the start of a run by the asset event", 300)
    [prediction] = api.runs(PREDICT)
    assert api.follow(PREDICT, prediction) == "success"

    header, *rows = read_csv(GOOD_ROWS)
    source = tmp_path_factory.mktemp("rows") / "worse.csv"
    # Each row has the outcome of the next one: as many positive leads as before, but nothing to learn.
    shifted = [[*row[:-1], following[-1]] for row, following in zip(rows, [*rows[1:], rows[0]], strict=True)]
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *shifted])
    worse = api.trigger(RETRAIN, conf={"source": str(source)})
    assert api.follow(RETRAIN, worse) == "success"
    return RunIds(good, prediction, worse)


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_upload_stores_every_row(stack: Stack, run_ids: RunIds) -> None:
    xcoms = essential_xcoms(stack.api.xcoms(RETRAIN, run_ids.good, "upload"))
    dataset_id = xcoms["dataset_id"]
    assert xcoms == {"return_value": dataset_id, "dataset_id": dataset_id, "row_count": 1200}
    query = {"api_key": SANDBOX_KEY, "id": dataset_id}
    dataset = requests.get(f"{stack.akkio}/v1/datasets", params=query, timeout=120).json()
    assert dataset["rows"] == 1200
    assert dataset["name"] == f"Leads, {run_ids.good}"
    assert {"name": "Positive Lead", "type": "category"} in dataset["fields"]


def test_first_model_is_promoted_with_an_asset_event(airflow: AirflowApi, run_ids: RunIds) -> None:
    model_id = airflow.xcoms(RETRAIN, run_ids.good, "train")["model_id"]
    [event] = airflow.asset_events(RETRAIN)
    value = event.pop("value")
    assert 0 < value <= 1
    assert event == {
        "model_id": model_id,
        "metric": "f1",
        "field_name": "Positive Lead",
        "class_name": "1",
        "champion": None,
        "champion_value": None,
    }


def test_asset_event_starts_predictions_with_the_promoted_model(airflow: AirflowApi, run_ids: RunIds) -> None:
    xcoms = airflow.xcoms(PREDICT, run_ids.prediction, "predict")
    assert xcoms["row_count"] == 40
    model_id = airflow.xcoms(RETRAIN, run_ids.good, "train")["model_id"]
    assert model_id in airflow.log(PREDICT, run_ids.prediction, "predict")
    source, output = read_csv(NEW_ROWS), read_csv(Path(xcoms["output_path"]))
    columns = len(source[0])
    assert [row[:columns] for row in output] == source
    header, *predictions = [row[columns:] for row in output]
    assert header == ["Positive Lead", "Probability Positive Lead is 0", "Probability Positive Lead is 1"]
    for label, negative, positive in predictions:
        assert float(negative) + float(positive) == pytest.approx(1)
        assert label == ("1" if float(positive) > float(negative) else "0")


def test_worse_model_is_not_promoted(airflow: AirflowApi, run_ids: RunIds) -> None:
    states = {task.task_id: task.state for task in airflow.tasks(RETRAIN, run_ids.worse)}
    assert states == {"upload": "success", "train": "success", "promote": "skipped"}
    model_id = airflow.xcoms(RETRAIN, run_ids.worse, "train")["model_id"]
    champion_id = airflow.xcoms(RETRAIN, run_ids.good, "train")["model_id"]
    log = airflow.log(RETRAIN, run_ids.worse, "promote")
    assert [line for line in log.splitlines() if f"Model {model_id}" in line and champion_id in line]
    assert len(airflow.asset_events(RETRAIN)) == 1
    assert airflow.runs(PREDICT) == [run_ids.prediction]


def test_task_logs_do_not_contain_the_key(airflow: AirflowApi, run_ids: RunIds) -> None:
    logs = [airflow.log(RETRAIN, run_ids.good, task_id) for task_id in ("upload", "train", "promote")]
    logs.append(airflow.log(PREDICT, run_ids.prediction, "predict"))
    assert all(logs)
    assert SANDBOX_KEY not in json.dumps(logs)
