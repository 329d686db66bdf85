"""The whole loop in a real Airflow: rows in, a better model promoted, predictions out, and a worse one kept out."""

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

RETRAIN = "akkio_retrain_weekly"
PREDICT = "akkio_predict_leads"
GOOD_ROWS = EXAMPLES / "rows" / "leads.csv"
NEW_ROWS = EXAMPLES / "rows" / "new_leads.csv"


@dataclass(frozen=True)
class Loop:
    """A run with good rows, and then one with worse rows.

    :param good: id of the first run.
    :param predicting: id of the run that the first one's event started.
    :param worse: id of the second run.
    """

    good: str
    predicting: str
    worse: str


@pytest.fixture(scope="module")
def loop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Both runs, ended."""
    api = stack.api
    good = api.trigger(RETRAIN)
    assert api.follow(RETRAIN, good) == "success"
    wait_until(lambda: bool(api.runs(PREDICT)), "the run that the event starts", 60)
    [predicting] = api.runs(PREDICT)
    assert api.follow(PREDICT, predicting) == "success"

    with GOOD_ROWS.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    source = tmp_path_factory.mktemp("rows") / "worse.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *([*row[:-1], str(number % 2)] for number, row in enumerate(rows))])
    worse = api.trigger(RETRAIN, conf={"source": str(source)})
    assert api.follow(RETRAIN, worse) == "success"
    return Loop(good, predicting, worse)


def dataset(stack: Stack, dataset_id: str) -> dict[str, object]:
    answer = requests.get(f"{stack.akkio}/v1/datasets", params={"api_key": SANDBOX_KEY, "id": dataset_id}, timeout=10)
    return dict(answer.json())


def states(airflow: AirflowApi, run_id: str) -> dict[str, str | None]:
    return {task.task_id: task.state for task in airflow.tasks(RETRAIN, run_id)}


def test_every_row_is_in_the_dataset(stack: Stack, loop: Loop) -> None:
    xcoms = stack.api.xcoms(RETRAIN, loop.good, "upload")
    assert xcoms == {"return_value": xcoms["dataset_id"], "dataset_id": xcoms["dataset_id"], "row_count": 1200}
    described = dataset(stack, xcoms["dataset_id"])
    assert described["rows"] == 1200
    assert described["name"] == f"Leads, {loop.good}"
    assert {"name": "Positive Lead", "type": "category"} in described["fields"]


def test_the_first_model_is_promoted_with_an_event_that_names_it(airflow: AirflowApi, loop: Loop) -> None:
    model_id = airflow.xcoms(RETRAIN, loop.good, "train")["model_id"]
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


def test_the_event_starts_the_predictions_with_the_promoted_model(airflow: AirflowApi, loop: Loop) -> None:
    xcoms = airflow.xcoms(PREDICT, loop.predicting, "predict")
    assert xcoms["row_count"] == 40
    assert airflow.xcoms(RETRAIN, loop.good, "train")["model_id"] in airflow.log(PREDICT, loop.predicting, "predict")
    with NEW_ROWS.open(encoding="utf-8", newline="") as file:
        asked = list(csv.reader(file))
    with Path(xcoms["output_path"]).open(encoding="utf-8", newline="") as file:
        written = list(csv.reader(file))
    assert [row[: len(asked[0])] for row in written] == asked
    predicted = ["Positive Lead", "Probability Positive Lead is 0", "Probability Positive Lead is 1"]
    assert written[0][len(asked[0]) :] == predicted
    for row in written[1:]:
        label, no, yes = row[len(asked[0]) :]
        assert float(no) + float(yes) == pytest.approx(1)
        assert label == ("1" if float(yes) > float(no) else "0")


def test_the_worse_model_is_not_promoted_and_both_numbers_are_in_the_log(airflow: AirflowApi, loop: Loop) -> None:
    assert states(airflow, loop.worse) == {"upload": "success", "train": "success", "promote": "skipped"}
    new = airflow.xcoms(RETRAIN, loop.worse, "train")["model_id"]
    champion = airflow.xcoms(RETRAIN, loop.good, "train")["model_id"]
    [said] = [line for line in airflow.log(RETRAIN, loop.worse, "promote").splitlines() if "was rejected" in line]
    assert said.startswith(f"Model {new} was rejected: f1 of 'Positive Lead'")
    assert f"champion {champion} has 0." in said
    assert len(airflow.asset_events(RETRAIN)) == 1
    assert airflow.runs(PREDICT) == [loop.predicting]


def test_no_log_has_the_key(airflow: AirflowApi, loop: Loop) -> None:
    logs = [airflow.log(RETRAIN, loop.good, task_id) for task_id in ("upload", "train", "promote")]
    logs.append(airflow.log(PREDICT, loop.predicting, "predict"))
    assert all(logs)
    assert SANDBOX_KEY not in json.dumps(logs)
