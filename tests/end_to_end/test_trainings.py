"""Trainings in a real Airflow: scheduler, DAG processor, API server and triggerer as processes, on PostgreSQL."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from airflow_provider_akkio.api.statistics import ModelSummary, log_lines
from dev.airflow_api import AirflowApi, TaskView
from dev.processes import wait_until
from dev.stack import EXAMPLES, SANDBOX_KEY, Stack
from dev.versions import Part
from tests.airflow_runs import essential_xcoms
from tests.statsd import StatsdServer
from tests.versions import lacks, needs

CLASS_KEYS = {
    *("field", "field_name", "field_type", "class", "class_name", "count", "frequency"),
    *("true positives", "false positives", "false negatives", "precision", "recall", "f1"),
}
"""Keys of one class in ``stats`` on Akkio's Training page."""


def run(airflow: AirflowApi, dag_id: str) -> tuple[str, str, list[TaskView]]:
    """Run a DAG, and return the run ID, the final state, and every observed state of a task."""
    seen: list[TaskView] = []
    run_id = airflow.trigger(dag_id)
    return run_id, airflow.follow(dag_id, run_id, seen.append), seen


def test_airflow_imports_every_example(airflow: AirflowApi) -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {
        "akkio_train",
        "akkio_train_many",
        "akkio_train_and_wait_elsewhere",
        "akkio_retrain_weekly",
        "akkio_from_database",
    }
    assert airflow.import_errors() == []


def test_deferred_training_occupies_no_worker(airflow: AirflowApi) -> None:
    slots_while_deferred = []
    seen: list[str] = []

    def record(task: TaskView) -> None:
        seen.append(f"{task.task_id} {task.state}")
        if task.state == "deferred":
            slots_while_deferred.append(airflow.slots())

    run_id = airflow.trigger("akkio_train")
    assert airflow.follow("akkio_train", run_id, record) == "success"
    assert "train deferred" in seen
    assert [(slots.running, slots.deferred) for slots in slots_while_deferred] == [(0, 1)]
    assert seen[-1] == "report success"

    xcoms = airflow.xcoms("akkio_train", run_id, "train")
    if Part.STATUS.is_here:
        assert xcoms["akkio_status"]["status"] == "SUCCEEDED"
    expected = {"akkio_task_id", "model_id", "return_value", "stats", "field_importance", "data_story"}
    assert set(essential_xcoms(xcoms)) == expected
    assert xcoms["return_value"] == xcoms["model_id"]
    [classes] = xcoms["stats"]
    assert [set(entry) for entry in classes] == [CLASS_KEYS] * 2
    assert sum(xcoms["field_importance"].values()) == pytest.approx(1)
    assert xcoms["data_story"][0]["name"] == "Positive Lead"


@needs(Part.PAGES)
def test_pages_show_the_training(airflow: AirflowApi) -> None:
    run_id, _, _ = run(airflow, "akkio_train")
    model_id = airflow.xcoms("akkio_train", run_id, "train")["model_id"]
    for path in (f"akkio/dags/akkio_train/runs/{quote(run_id, safe='')}/tasks/train", "akkio/trainings"):
        page = airflow.page(path)
        assert page.status_code == 200
        assert model_id in page.text


@lacks(Part.PAGES)
def test_older_airflow_serves_no_page_of_a_training(airflow: AirflowApi) -> None:
    run_id, _, _ = run(airflow, "akkio_train")
    page = airflow.page(f"akkio/dags/akkio_train/runs/{quote(run_id, safe='')}/tasks/train")
    assert "Akkio training" not in page.text


def test_log_contains_submission_status_and_model(airflow: AirflowApi) -> None:
    run_id, _, _ = run(airflow, "akkio_train")
    xcoms = airflow.xcoms("akkio_train", run_id, "train")
    lines = airflow.log("akkio_train", run_id, "train").splitlines()
    [submission] = [line for line in lines if line.startswith(f"Submitted training {xcoms['akkio_task_id']}")]
    assert "YTV32jCdVf5DbcMxzvX5" in submission
    assert "Positive Lead" in submission
    [success] = [line for line in lines if line == f"Training {xcoms['akkio_task_id']}: SUCCEEDED"]
    assert lines.index(submission) < lines.index(success)
    first, *others = log_lines(ModelSummary.of(xcoms))
    assert len(others) == 6
    assert "\n".join([f"Akkio trained {first}", *others]) in "\n".join(lines)
    assert SANDBOX_KEY not in "\n".join(lines)


def test_mapped_trainings_run_concurrently(airflow: AirflowApi) -> None:
    run_id, state, seen = run(airflow, "akkio_train_many")
    assert state == "success"
    assert {task.map_index for task in seen if task.state == "deferred"} == {0, 1}
    models = [airflow.xcoms("akkio_train_many", run_id, "train", index)["return_value"] for index in (0, 1)]
    assert len(set(models)) == 2
    assert airflow.xcoms("akkio_train_many", run_id, "best")["return_value"] in models


def test_sensor_waits_for_the_training_of_another_task(airflow: AirflowApi) -> None:
    dag_id = "akkio_train_and_wait_elsewhere"
    run_id, state, seen = run(airflow, dag_id)
    assert state == "success"
    assert {task.task_id for task in seen if task.state == "deferred"} == {"wait"}
    assert set(essential_xcoms(airflow.xcoms(dag_id, run_id, "submit"))) == {"akkio_task_id", "return_value"}
    xcoms = airflow.xcoms(dag_id, run_id, "wait")
    assert xcoms["return_value"] == xcoms["model_id"]
    assert xcoms["stats"][0][0]["field_type"] == "number"


@pytest.fixture(scope="module")
def failed_run(stack: Stack) -> str:
    """ID of a run whose tasks all failed."""
    run_id, state, _ = run(stack.api, "failing_trainings")
    assert state == "failed"
    return run_id


@pytest.mark.parametrize(
    ("task_id", "error", "reason"),
    [
        ("missing_field", "AkkioTrainingFailedError", "missing field"),
        ("missing_dataset", "AkkioNotFoundError", "'missing dataset'"),
        ("wrong_key", "AkkioUnauthorizedError", "connection 'akkio_wrong_key'"),
        ("invalid_after_rendering", "AkkioParameterError", "10, 60, 300, 1800"),
        ("timeout", "AkkioTrainingTimeoutError", "1 s"),
        pytest.param(
            "execution_timeout", "AirflowTaskTimeout", "execution_timeout", marks=needs(Part.EXECUTION_TIMEOUT)
        ),
    ],
)
def test_failed_task_names_the_reason_and_is_not_retried(
    airflow: AirflowApi, failed_run: str, task_id: str, error: str, reason: str
) -> None:
    [task] = [task for task in airflow.tasks("failing_trainings", failed_run) if task.task_id == task_id]
    assert (task.state, task.try_number) == ("failed", 1)
    log = airflow.log("failing_trainings", failed_run, task_id)
    errors = [line for line in log.splitlines() if line.startswith(error)]
    assert errors
    assert all(reason in line for line in errors)


@lacks(Part.EXECUTION_TIMEOUT)
def test_execution_timeout_of_airflow_2_fails_the_task_before_it_resumes(airflow: AirflowApi, failed_run: str) -> None:
    task_id = "execution_timeout"
    log = airflow.log("failing_trainings", failed_run, task_id)
    assert [line for line in log.splitlines() if line.endswith("AirflowTaskTimeout")]
    assert "execution_timeout ended the wait" not in log.partition("Resuming after deferral")[2]
    assert airflow.xcoms("failing_trainings", failed_run, task_id)["akkio_task_id"] in log


def test_workers_and_triggerer_send_metrics(airflow: AirflowApi, statsd: StatsdServer) -> None:
    run(airflow, "akkio_train")
    names = {f"airflow.akkio.{name}" for name in ("polls", "training_seconds", "detection_delay_seconds")}
    wait_until(lambda: names <= set(statsd.sent("airflow.akkio.")), "the metrics of a training", 120)
    sent = statsd.sent("airflow.akkio.")
    assert set(sent["airflow.akkio.polls"]) == {"1|c"}
    milliseconds = [float(value.removesuffix("|ms")) for value in sent["airflow.akkio.training_seconds"]]
    assert 4000 < max(milliseconds) < 1_000_000
