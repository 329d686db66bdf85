"""The tab of a training, in every state of its task."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings

from airflow_provider_akkio.api.statistics import ModelSummary
from airflow_provider_akkio.api.types import ERROR_KEY, STATUS_KEY
from tests.api.results import ANY_RESULTS, category_result, huge_result, number_result
from tests.scripted import ScriptedAkkio, status
from tests.web.conftest import MAPPED, TRAIN, RunTask, StoredTask, recorded_queries, stats_with_f1, text_of

RESULT = ("model_id", "return_value", "stats", "field_importance", "data_story")
SENSOR = "AkkioTrainSensor(task_id='wait', akkio_task_id='T1', poll_interval=0.05)"


def refreshes(page: str) -> bool:
    return "data-refresh" in page


def render_model(result: dict[str, Any]) -> str:
    from airflow_provider_akkio.web.app import _environment

    model = ModelSummary.of(result)
    return _environment().get_template("_model.html").render(model=model, trend=None)


def set_result(task: StoredTask, result: dict[str, Any]) -> StoredTask:
    for key, value in result.items():
        task.set_xcom(key, value)
    return task


@pytest.fixture
def training(run_task: RunTask) -> StoredTask:
    """A training that succeeded."""
    return run_task()


@pytest.fixture
def deferred(training: StoredTask) -> StoredTask:
    """A training that is deferred."""
    training.delete_xcoms(*RESULT)
    training.update(state="deferred", end_date=None)
    return training


def test_finished_training_shows_model_and_parameters(training: StoredTask) -> None:
    page = training.page()
    text = text_of(page)
    assert text.startswith("Akkio training Done Akkio trained the model. Model Model ID M1 ")
    for fact in ("f1 of Lead 0.86", "Visits 75.0%", "Dataset D1", "Predicted fields Lead", "Duration 60 s", "Force no"):
        assert fact in text
    for fact in ("Connection akkio_default", "Try 1", "Akkio task ID T1"):
        assert fact in text
    assert not refreshes(page)
    assert "<progress" not in page


@pytest.mark.parametrize(
    ("submitted", "estimate", "bar", "text"),
    [
        (
            90,
            150.0,
            '"150.0" value="9',
            r"1 minute 3\d seconds? elapsed of about 2 minutes 30 seconds \(Akkio's estimate\)",
        ),
        (12, None, '"60.0" value="1', r"1\d seconds elapsed of about 1 minute \(the requested duration\)"),
        (7205, None, '"60.0" value="60.0"', r"2 hours \d+ seconds elapsed of about 1 minute"),
    ],
)
def test_deferred_training_shows_status_and_progress(
    deferred: StoredTask, submitted: float, estimate: float | None, bar: str, text: str
) -> None:
    now = time.time()
    entry = {"status": "IN_PROGRESS", "since": now - 5, "submitted_at": now - submitted, "estimate_seconds": estimate}
    deferred.set_xcom(STATUS_KEY, entry)
    page = deferred.page()
    assert re.search(r"Akkio accepted the training at [-0-9]+ [:0-9]+ UTC; the task is deferred\.", text_of(page))
    assert re.search(text, text_of(page))
    assert f"<progress max={bar}" in page
    assert "Status at Akkio IN_PROGRESS, since 20" in text_of(page)
    assert "Dataset D1" in text_of(page)
    assert refreshes(page)


def test_training_without_status_has_no_progress_bar(deferred: StoredTask) -> None:
    deferred.delete_xcoms(STATUS_KEY)
    page = deferred.page()
    assert "Training The task is deferred." in text_of(page)
    assert "<progress" not in page


def test_failed_training_shows_escaped_error_and_advice(deferred: StoredTask) -> None:
    deferred.update(state="failed")
    deferred.set_xcom(ERROR_KEY, "Training T1 failed: <b>too few rows</b>")
    page = deferred.page()
    text = text_of(page)
    assert "Failed The task failed without a model. Error Training T1 failed:" in text
    assert "clear the task to run it again" in text
    assert "&lt;b&gt;too few rows" in page
    assert not refreshes(page)


def test_failed_task_without_error_refers_to_log(deferred: StoredTask) -> None:
    deferred.update(state="failed")
    text = deferred.text()
    assert "Failed The task failed" in text
    assert "See the task's log." in text


def test_sensor_with_soft_fail_shows_why_it_was_skipped(run_task: RunTask, trained: ScriptedAkkio) -> None:
    trained.script("status", status("FAILED", error="too few rows"))
    sensor = run_task(SENSOR.replace("poll_interval", "soft_fail=True, poll_interval"), "wait")
    page = sensor.page()
    text = text_of(page)
    assert text.startswith("Akkio training Skipped The task was skipped. Reason Training T1 ended with status FAILED")
    assert "too few rows" in text
    assert "soft_fail" in text
    assert "Error" not in text
    assert not refreshes(page)


def test_skipped_operator_shows_no_error_of_an_earlier_try(deferred: StoredTask) -> None:
    deferred.set_xcom("akkio_error", "too few rows")
    deferred.update(state="skipped")
    assert "too few rows" not in deferred.text()


@pytest.mark.parametrize(
    ("state", "start"),
    [
        ("skipped", "Skipped The task was skipped. Training Dataset D1"),
        ("upstream_failed", "Not run The task did not run; its state is upstream_failed. Training Dataset D1"),
    ],
)
def test_task_that_did_not_run_shows_no_error(deferred: StoredTask, state: str, start: str) -> None:
    deferred.update(state=state)
    page = deferred.page()
    assert text_of(page).startswith(f"Akkio training {start}")
    assert not refreshes(page)


def test_task_whose_upstream_task_failed_shows_nothing_of_previous_try(training: StoredTask) -> None:
    training.update(state="upstream_failed")
    training.set_xcom(ERROR_KEY, "an old error")
    text = training.text()
    for previous in ("M1", "Akkio task ID", "an old error", "Started"):
        assert previous not in text


def test_task_up_for_retry_shows_error_and_refreshes(deferred: StoredTask) -> None:
    deferred.update(state="up_for_retry", try_number=2)
    deferred.set_xcom(ERROR_KEY, "Akkio is unavailable.")
    page = deferred.page()
    assert "Akkio is unavailable. This was try 2. Airflow will retry the task." in text_of(page)
    assert refreshes(page)


@pytest.mark.parametrize("state", [None, "scheduled", "queued"])
def test_cleared_task_shows_nothing_of_previous_try(training: StoredTask, state: str | None) -> None:
    training.update(state=state)
    training.set_xcom(STATUS_KEY, {"status": "SUCCEEDED", "since": 1.0, "submitted_at": 1.0})
    training.set_xcom(ERROR_KEY, "an old error")
    page = training.page()
    text = text_of(page)
    assert text.startswith(f"Akkio training Not started The task has not started; its state is {state or 'not sched'}")
    assert "Dataset D1" in text
    for previous in ("M1", "Akkio task ID", "Status at Akkio", "Started", "Ended", "Progress", "Error"):
        assert previous not in text
    assert refreshes(page)


@pytest.mark.parametrize("state", ["scheduled", "queued"])
def test_task_that_resumes_after_its_trigger_shows_status(deferred: StoredTask, state: str) -> None:
    deferred.update(state=state, next_method="execute_complete")
    deferred.set_xcom(STATUS_KEY, {"status": "SUCCEEDED", "since": 1.0})
    text = deferred.text()
    assert text.startswith("Akkio training Training Akkio finished the training; the task fetches the result next. ")
    assert "Status at Akkio SUCCEEDED" in text


def test_deferred_task_shows_no_model_of_previous_try(training: StoredTask) -> None:
    training.update(state="deferred")
    text = training.text()
    assert text.startswith("Akkio training Training ")
    assert "M1" not in text


def test_task_that_failed_after_training_shows_error_and_model(training: StoredTask) -> None:
    training.update(state="failed")
    training.set_xcom(ERROR_KEY, "the outlet event was rejected")
    text = training.text()
    assert "The task failed after Akkio trained the model. Error the outlet event was rejected" in text
    assert "Model ID M1" in text


def test_task_that_does_not_wait_shows_that_it_pushed_no_model(run_task: RunTask) -> None:
    text = run_task(TRAIN.replace("duration=60", "wait_for_completion=False")).text()
    assert "No model The task pushed no model" in text
    assert "Akkio task ID T1" in text


@pytest.mark.parametrize("state", ["deferred", "up_for_reschedule"])
def test_sensor_has_a_tab_without_progress_bar(run_task: RunTask, state: str) -> None:
    sensor = run_task(SENSOR, "wait")
    assert "Model ID M1" in sensor.text()
    sensor.delete_xcoms(*RESULT)
    sensor.update(state=state)
    sensor.set_xcom(STATUS_KEY, {"status": "IN_PROGRESS", "since": 1.0, "estimate_seconds": 60.0})
    page = sensor.page()
    assert "<progress" not in page
    assert "Status at Akkio IN_PROGRESS" in text_of(page)
    assert "Akkio task ID T1" in text_of(page)


def test_subclass_is_recognized_by_its_xcoms(run_task: RunTask) -> None:
    body = "class RetrainOperator(AkkioTrainOperator): pass\n" + TRAIN.replace("AkkioTrain", "Retrain")
    assert "Model ID M1" in run_task(body).text()


def test_other_operator_has_no_training(run_task: RunTask) -> None:
    page = run_task("@task\ndef other(): return 1\n\nother()", "other").page()
    assert "This task does not train a model at Akkio or wait for one." in text_of(page)
    assert not refreshes(page)


def test_mapped_tasks_have_their_own_tabs(run_task: RunTask) -> None:
    task = run_task(MAPPED.format(["D1", "D2"]))
    for index in (0, 1):
        task.map_index = index
        page = task.page()
        assert f"Dataset D{index + 1}" in text_of(page)
        assert f"<title>train [{index}]: Akkio training</title>" in page


@pytest.mark.parametrize("index", ["{MAP_INDEX}", "%7BMAP_INDEX%7D", "-1", "", "x", "9" * 30])
def test_unmapped_task_is_found_with_placeholder_as_map_index(training: StoredTask, index: str) -> None:
    path = training.path.replace("map_index=-1", f"map_index={index}")
    assert "Model ID M1" in text_of(training.client.get(path).text)


@pytest.mark.parametrize("suffix", ["?map_index=7", "-deleted?map_index=-1", "%00"])
def test_missing_task_instance_is_not_found(training: StoredTask, suffix: str) -> None:
    response = training.client.get(training.path.replace("?map_index=-1", suffix))
    assert response.status_code == 404
    assert "task instance does not exist" in response.text


def test_metric_is_compared_with_previous_run(run_repeatedly: RunTask) -> None:
    page = run_repeatedly([stats_with_f1(0.5), [], stats_with_f1(0.75)]).page()
    assert "0.75 +0.25 since the previous run (0.5)" in text_of(page)
    assert 'role="img" aria-label="f1, oldest first: 0.5, 0.75"' in page


def test_mapped_task_is_compared_with_same_map_index(run_repeatedly: RunTask) -> None:
    task = run_repeatedly([stats_with_f1(0.5), stats_with_f1(0.75)], MAPPED.format(["D1", "D2"]))
    task.map_index = 1
    assert 'aria-label="f1, oldest first: 0.5, 0.75"' in task.page()


def test_trend_is_limited_to_twenty_runs(run_repeatedly: RunTask) -> None:
    page = run_repeatedly([stats_with_f1(number / 100) for number in range(1, 24)]).page()
    values = ", ".join(f"{number / 100:.3g}" for number in range(4, 24))
    assert f'aria-label="f1, oldest first: {values}"' in page


def test_category_model_shows_test_results_importance_and_data_story(training: StoredTask) -> None:
    text = set_result(training, category_result()).text()
    assert "The model predicted 360 of 400 test rows correctly (90.0%)." in text
    assert re.search(r"Most false negatives: 1 ?, 27 of 53 rows\.", text)
    assert "0 347 86.8% 0.925 0.963 0.944 334 13 27" in text
    assert "Feature importance" in text
    assert "Webinars Attended 60.0%" in text
    assert "Positive Lead is 1 in 13.2% of all rows: 39.0% in the best case, 0.7% in the worst case." in text
    assert "Webinars Attended = 6 instead of 0 ; Job Title = Executive instead of Assistant" in text


def test_number_model_shows_its_metrics(training: StoredTask) -> None:
    text = set_result(training, number_result()).text()
    assert "Test results for progression Metric Value rmse 61.656 mae 50.779 r2 0.398 Measured on 88 test rows." in text
    assert "Data story" not in text


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on the load of the machine
@given(ANY_RESULTS)
def test_model_of_any_shape_is_rendered(result: dict[str, Any]) -> None:
    assert "M1" in render_model(result)


def test_model_with_sums_that_overflow_is_rendered() -> None:
    assert "M1" in render_model(huge_result())


def large_result(classes: int, fields: int) -> dict[str, Any]:
    result = category_result()
    [story] = result["data_story"]
    [outcome] = story["outcomes"]
    outcome["causes"] *= 3
    return {
        "stats": [[result["stats"][0][0] | {"class_name": f"a class {number}"} for number in range(classes)]],
        "field_importance": {f"a field with a name {number}": number / 124750 for number in range(fields)},
        "data_story": [story | {"outcomes": [outcome | {"outcome": f"a class {n}"} for n in range(classes)]}],
    }


def test_large_result_needs_two_queries_and_less_than_200_kb(training: StoredTask) -> None:
    set_result(training, large_result(classes=200, fields=500))
    with recorded_queries() as statements:
        page = training.page()
    assert 1 <= len(statements) <= 2, statements
    assert all(f"<bdi>a class {number}</bdi>" in page for number in range(200))
    assert all(f"<bdi>a field with a name {number}</bdi>" in page for number in range(500))
    assert len(page.encode()) < 200 * 1024


def test_tables_are_limited_to_500_rows(training: StoredTask) -> None:
    text = set_result(training, large_result(classes=700, fields=700)).text()
    assert "The XCom stats contains 200 more classes" in text
    assert "480 more fields" in text
    assert "The XCom field_importance contains 200 more fields" in text


def test_value_longer_than_limit_is_omitted(training: StoredTask) -> None:
    training.set_xcom("field_importance", {"x" * 2_000_000: 1.0})
    page = training.page()
    assert "Model ID M1" in text_of(page)
    assert len(page) < 20_000


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "\"quoted\" & 'quoted'", "🦜", "\u05e9\u05dc\u05d5\u05dd"]
)
def test_names_from_akkio_are_escaped(training: StoredTask, name: str) -> None:
    result = category_result()
    result["stats"] = [[one | {"field_name": name, "class_name": name} for one in result["stats"][0]]]
    result["field_importance"] = {name: 1.0}
    [outcome] = result["data_story"][0]["outcomes"]
    outcome |= {"outcome": name, "causes": [{"field": name, "top_value": name, "bottom_value": name}]}
    set_result(training, result | {"model_id": name, STATUS_KEY: {"status": name, "since": 1.0}})
    page = training.page()
    assert text_of(page).count(name) >= 10
    assert page.count("<script") == 1
    assert "style=" not in page
    assert not re.search(r"\son\w+=", page)


@pytest.mark.parametrize("path", ["", "/akkio/trainings", "/akkio/static/akkio.css"])
def test_pages_require_login_and_restrict_content(training: StoredTask, path: str) -> None:
    anonymous = TestClient(training.client.app, base_url="http://localhost")
    response = anonymous.get(path or training.path)
    assert response.status_code == 401
    assert "M1" not in response.text
    allowed = training.client.get(path or training.path)
    assert allowed.status_code == 200
    for answer in (response, allowed):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "script-src 'self';" in policy
        assert not re.search("unsafe|http", policy)


@pytest.mark.parametrize("path", ["/akkio/static/akkio.py", "/akkio/static/..%2Fapp.py", "/akkio/openapi.json"])
def test_unknown_path_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["", "/akkio/trainings"])
def test_post_is_not_allowed(training: StoredTask, path: str) -> None:
    assert training.client.post(path or training.path).status_code == 405
