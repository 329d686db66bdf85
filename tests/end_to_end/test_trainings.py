"""Trainings in a real Airflow: scheduler, DAG processor, API server and triggerer as processes, on PostgreSQL."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from airflow_provider_akkio.api.statistics import ModelSummary, log_lines
from dev.airflow_api import AirflowApi, TaskView
from dev.stack import EXAMPLES, Stack
from dev.versions import Part
from tests.page import CLASS_KEYS
from tests.statsd import StatsdServer
from tests.versions import lacks, needs


def run(airflow: AirflowApi, dag_id: str) -> tuple[str, str, list[TaskView]]:
    """Run a DAG to its end, and return the run's id, its state, and each state of a task that was seen."""
    seen: list[TaskView] = []
    run_id = airflow.trigger(dag_id)
    return run_id, airflow.follow(dag_id, run_id, seen.append), seen


def test_no_example_is_left_out(airflow: AirflowApi) -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"akkio_train", "akkio_train_many", "akkio_train_and_wait_elsewhere", "akkio_retrain_weekly"}
    assert airflow.import_errors() == []


def test_a_model_is_trained_while_no_worker_is_held(airflow: AirflowApi) -> None:
    slots_while_deferred = []
    seen: list[str] = []

    def look(task: TaskView) -> None:
        seen.append(f"{task.task_id} {task.state}")
        if task.state == "deferred":
            slots_while_deferred.append(airflow.slots())

    run_id = airflow.trigger("akkio_train")
    assert airflow.follow("akkio_train", run_id, look) == "success"
    assert "train deferred" in seen
    assert [(slots.running, slots.deferred) for slots in slots_while_deferred] == [(0, 1)]
    assert seen[-1] == "report success"

    xcoms = airflow.xcoms("akkio_train", run_id, "train")
    parts = {"model_id", "return_value", "stats", "field_importance", "data_story"}
    if Part.STATUS.is_here:
        assert xcoms.pop("akkio_status")["status"] == "SUCCEEDED"
    assert set(xcoms) == {"akkio_task_id", *parts}
    assert xcoms["return_value"] == xcoms["model_id"]
    [classes] = xcoms["stats"]
    assert [sorted(one) for one in classes] == [sorted(CLASS_KEYS)] * 2
    assert sum(xcoms["field_importance"].values()) == pytest.approx(1)
    assert xcoms["data_story"][0]["name"] == "Positive Lead"


@needs(Part.PAGES)
def test_the_pages_are_served_with_the_training_in_them(airflow: AirflowApi) -> None:
    run_id, _, _ = run(airflow, "akkio_train")
    model_id = airflow.xcoms("akkio_train", run_id, "train")["model_id"]
    for path in (f"akkio/dags/akkio_train/runs/{quote(run_id, safe='')}/tasks/train", "akkio/models"):
        page = airflow.page(path)
        assert page.status_code == 200
        assert model_id in page.text


@lacks(Part.PAGES)
def test_an_older_airflow_serves_no_page_of_a_training(airflow: AirflowApi) -> None:
    run_id, _, _ = run(airflow, "akkio_train")
    page = airflow.page(f"akkio/dags/akkio_train/runs/{quote(run_id, safe='')}/tasks/train")
    assert "Akkio training" not in page.text


def test_the_log_tells_the_trainings_story(airflow: AirflowApi) -> None:
    run_id, _, _ = run(airflow, "akkio_train")
    xcoms = airflow.xcoms("akkio_train", run_id, "train")
    log = airflow.log("akkio_train", run_id, "train")
    training = f"raining {xcoms['akkio_task_id']}"
    story = [
        f"Akkio accepted t{training}: dataset YTV32jCdVf5DbcMxzvX5, predicting Positive Lead, 10 s.",
        f"T{training}: SUCCEEDED",
    ]
    assert [line for line in log.splitlines() if line in story] == story
    first, *others = log_lines(ModelSummary.of(xcoms))
    assert len(others) == 6
    assert "\n".join([f"Akkio trained {first}", *others]) in log
    assert "sandbox-key" not in log


def test_mapped_trainings_run_side_by_side(airflow: AirflowApi) -> None:
    run_id, state, seen = run(airflow, "akkio_train_many")
    assert state == "success"
    assert {task.map_index for task in seen if task.state == "deferred"} == {0, 1}
    models = [airflow.xcoms("akkio_train_many", run_id, "train", index)["return_value"] for index in (0, 1)]
    assert len(set(models)) == 2
    assert airflow.xcoms("akkio_train_many", run_id, "best")["return_value"] in models


def test_a_training_is_waited_for_by_another_task(airflow: AirflowApi) -> None:
    dag_id = "akkio_train_and_wait_elsewhere"
    run_id, state, seen = run(airflow, dag_id)
    assert state == "success"
    assert "deferred" in [task.state for task in seen if task.task_id == "wait"]
    assert "deferred" not in [task.state for task in seen if task.task_id == "submit"]
    submitted = airflow.xcoms(dag_id, run_id, "submit")
    assert set(submitted) == {"akkio_task_id", "return_value"}
    waited = airflow.xcoms(dag_id, run_id, "wait")
    assert waited["return_value"] == waited["model_id"]
    assert waited["stats"][0][0]["field_type"] == "number"


@pytest.fixture(scope="module")
def failed_run(stack: Stack) -> str:
    """A run in which every task failed."""
    run_id, state, _ = run(stack.api, "failures")
    assert state == "failed"
    return run_id


@pytest.mark.parametrize(
    ("task_id", "error", "reason"),
    [
        ("no_such_field", "AkkioTrainingFailedError", "no such field"),
        ("no_such_dataset", "AkkioNotFoundError", "dataset 'no such dataset'"),
        ("wrong_key", "AkkioUnauthorizedError", "password of connection 'akkio_wrong_key'"),
        ("wrong_once_rendered", "AkkioParameterError", "duration must be one of 10, 60, 300, 1800"),
        ("out_of_time", "AkkioTrainingTimeoutError", "did not end within 1 s"),
        pytest.param(
            "out_of_execution_time",
            "AirflowTaskTimeout",
            "execution_timeout ended the wait",
            marks=needs(Part.EXECUTION_TIMEOUT),
        ),
    ],
)
def test_each_failure_tells_what_happened_and_is_tried_once(
    airflow: AirflowApi, failed_run: str, task_id: str, error: str, reason: str
) -> None:
    [task] = [one for one in airflow.tasks("failures", failed_run) if one.task_id == task_id]
    assert (task.state, task.try_number) == ("failed", 1)
    said = [line for line in airflow.log("failures", failed_run, task_id).splitlines() if line.startswith(error)]
    assert said
    assert [line for line in said if reason not in line] == []


@lacks(Part.EXECUTION_TIMEOUT)
def test_a_task_that_resumes_too_late_fails_before_any_code_of_its_own_runs(
    airflow: AirflowApi, failed_run: str
) -> None:
    task_id = "out_of_execution_time"
    log = airflow.log("failures", failed_run, task_id)
    assert [line for line in log.splitlines() if line.endswith("AirflowTaskTimeout")]
    assert "execution_timeout ended the wait" not in log.partition("Resuming after deferral")[2]
    assert airflow.xcoms("failures", failed_run, task_id)["akkio_task_id"] in log


def test_workers_and_the_triggerer_send_the_numbers(airflow: AirflowApi, statsd: StatsdServer) -> None:
    run(airflow, "akkio_train")
    sent = statsd.sent("airflow.akkio.")
    assert set(sent) >= {
        "airflow.akkio.polls",
        "airflow.akkio.training_seconds",
        "airflow.akkio.detection_delay_seconds",
    }
    assert set(sent["airflow.akkio.polls"]) == {"1|c"}
    milliseconds = [float(value.removesuffix("|ms")) for value in sent["airflow.akkio.training_seconds"]]
    assert 4000 < max(milliseconds) < 120_000
