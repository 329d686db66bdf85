"""The page of a training, in each of the ways in which a training can stand."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from airflow_provider_akkio.api.types import ERROR_KEY, STATUS_KEY
from tests.web.conftest import MAPPED, STATS, TRAIN, Recorded, Records, RecordsOften, better, counting_queries, text_of

RESULT = ("model_id", "return_value", "stats", "field_importance", "data_story")


def forget_the_team() -> None:
    """Have Airflow look up the DAG's team again, where it has teams and remembers them."""
    with suppress(ImportError):
        from airflow.models.dag import clear_team_name_cache

        clear_team_name_cache()


def refreshes(page: str) -> bool:
    return "data-refresh" in page


@pytest.fixture
def waiting(record: Records) -> Recorded:
    """A training that goes on since 12 seconds."""
    training = record()
    training.take(*RESULT)
    training.change(state="deferred", start_date=datetime.now(UTC) - timedelta(seconds=12), end_date=None)
    return training


def test_a_training_that_has_ended_shows_the_model_and_what_was_asked_for(record: Records) -> None:
    page = record().page()
    text = text_of(page)
    assert text.startswith("Akkio training Done Akkio has trained a model. Model Model id M1 ")
    assert "f1 of Lead 0.86" in text
    assert "Visits 75.0%" in text
    for fact in ("Dataset D1", "Predicts Lead", "Duration 60 s", "Force no", "Connection akkio_default", "Try 1"):
        assert fact in text
    assert "Akkio's task id T1" in text
    assert not refreshes(page)
    assert "<progress" not in page


def test_one_that_goes_on_shows_akkios_status_and_the_time_against_its_estimate(waiting: Recorded) -> None:
    now = time.time()
    entry = {"status": "IN_PROGRESS", "since": now - 5, "submitted_at": now - 90, "estimate_seconds": 150.0}
    waiting.leave(STATUS_KEY, entry)
    page = waiting.page()
    text = text_of(page)
    assert re.search(
        r"Training Akkio has had the training since [-0-9]+ [:0-9]+ UTC; the task waits in the triggerer\.", text
    )
    assert re.search(r"1 min 3[0-9] s so far, of about 2 min 30 s \(Akkio's estimate\)", text)
    assert '<progress max="150.0" value="9' in page
    assert "Akkio's last status IN_PROGRESS, seen at 20" in text
    assert "Dataset D1" in text
    assert refreshes(page)


def test_without_an_estimate_the_time_that_was_asked_for_counts(waiting: Recorded) -> None:
    waiting.take(STATUS_KEY)
    text = text_of(waiting.page())
    assert re.search(r"1[2-9] s so far, of about 1 min", text)
    assert "last status" not in text


def test_a_training_that_takes_longer_than_expected_fills_the_bar(waiting: Recorded) -> None:
    waiting.take(STATUS_KEY)
    waiting.change(start_date=datetime.now(UTC) - timedelta(hours=2, seconds=5))
    page = waiting.page()
    assert '<progress max="60.0" value="60.0"' in page
    assert "2 h 5 s so far, of about 1 min (the duration that was asked for)" in text_of(page)


def test_a_task_that_no_worker_began_shows_what_the_triggerer_asked_for(waiting: Recorded) -> None:
    waiting.forget_parameters()
    waiting.take(STATUS_KEY)
    assert "Airflow has no record of the task's parameters" in text_of(waiting.page())
    waiting.leave(
        STATUS_KEY, {"status": "x", "since": 1.0, "parameters": {"dataset_id": "D7", "predict_fields": ["a"]}}
    )
    text = text_of(waiting.page())
    assert "Dataset D7 Predicts a " in text
    assert "no record" not in text


def test_one_that_failed_shows_akkios_reason_and_what_to_do(waiting: Recorded) -> None:
    waiting.change(state="failed")
    waiting.leave(ERROR_KEY, "Akkio ended training T1 with FAILED: <b>too few rows</b>")
    page = waiting.page()
    text = text_of(page)
    assert "Failed The task has failed without a model. What happened Akkio ended training T1 with FAILED:" in text
    assert "clear the task to have it run again" in text
    assert "&lt;b&gt;too few rows" in page
    assert not refreshes(page)


def test_one_that_failed_without_a_word_names_the_log(waiting: Recorded) -> None:
    waiting.change(state="failed")
    assert "The task left no reason here; its log may tell one." in text_of(waiting.page())
    waiting.change(state="upstream_failed")
    assert "Not run The task was not run to its end: its state is upstream_failed." in text_of(waiting.page())


def test_one_that_will_be_tried_again_says_so_and_keeps_looking(waiting: Recorded) -> None:
    waiting.change(state="up_for_retry", try_number=2)
    waiting.leave(ERROR_KEY, "Akkio cannot be reached.")
    page = waiting.page()
    assert "Akkio cannot be reached. This was try 2; Airflow will try again by itself." in text_of(page)
    assert refreshes(page)


@pytest.mark.parametrize("state", [None, "scheduled", "queued"])
def test_one_that_was_cleared_shows_no_model_of_before(record: Records, state: str | None) -> None:
    training = record()
    training.change(state=state)
    training.leave(STATUS_KEY, {"status": "SUCCEEDED", "since": 1.0, "submitted_at": 1.0})
    training.leave(ERROR_KEY, "an error of before")
    page = training.page()
    assert "M1" not in page
    text = text_of(page)
    assert text.startswith(f"Akkio training Not begun The task is {state or 'not scheduled yet'}. ")
    assert "Dataset D1" in text
    for said in ("T1", "last status", "Began", "Ended", "Progress", "What happened"):
        assert said not in text
    assert refreshes(page)


@pytest.mark.parametrize("state", ["scheduled", "queued"])
def test_one_that_is_to_go_on_after_its_trigger_still_shows_how_it_stands(waiting: Recorded, state: str) -> None:
    waiting.change(state=state, next_method="execute_complete")
    waiting.leave(STATUS_KEY, {"status": "SUCCEEDED", "since": 1.0})
    text = text_of(waiting.page())
    assert text.startswith(
        "Akkio training Training Akkio has ended the training; the task takes what came of it in a moment. "
    )
    assert "Akkio's last status SUCCEEDED" in text


def test_one_that_was_deferred_again_shows_no_model_of_before(record: Records) -> None:
    training = record()
    training.change(state="deferred")
    assert text_of(training.page()).startswith("Akkio training Training ")
    assert "M1" not in training.page()


def test_one_that_failed_with_its_model_shows_both(record: Records) -> None:
    training = record()
    training.change(state="failed")
    training.leave(ERROR_KEY, "an asset's event could not be written")
    text = text_of(training.page())
    assert "Failed The task has failed, after Akkio had trained a model. What happened an asset's event" in text
    assert "Model id M1" in text


def test_a_task_that_does_not_wait_says_that_it_left_no_model(record: Records) -> None:
    training = record(TRAIN.replace("duration=60", "wait_for_completion=False"))
    text = text_of(training.page())
    assert "No model The task left no model: it was not to wait for one" in text
    assert "Akkio's task id T1" in text


def test_a_sensor_has_a_page_too(record: Records) -> None:
    sensor = record("AkkioTrainSensor(task_id='wait', akkio_task_id='T1', poll_interval=0.05)", "wait")
    text = text_of(sensor.page())
    assert "Model id M1" in text
    assert "Akkio's task id T1" in text


@pytest.mark.parametrize("state", ["deferred", "up_for_reschedule"])
def test_a_sensor_that_waits_shows_no_bar_since_it_does_not_know_when_the_training_began(
    record: Records, state: str
) -> None:
    sensor = record("AkkioTrainSensor(task_id='wait', akkio_task_id='T1', poll_interval=0.05)", "wait")
    sensor.take(*RESULT)
    sensor.change(state=state)
    sensor.leave(STATUS_KEY, {"status": "IN_PROGRESS", "since": 1.0, "estimate_seconds": 60.0})
    page = sensor.page()
    assert "<progress" not in page
    assert "Akkio's last status IN_PROGRESS" in text_of(page)
    assert ("reschedule since" in text_of(page)) is False


def test_a_class_of_the_authors_own_is_known_by_what_it_leaves(record: Records) -> None:
    training = record("class Mine(AkkioTrainOperator): pass\n" + TRAIN.replace("AkkioTrainOperator", "Mine"))
    assert "Model id M1" in text_of(training.page())


def test_a_task_of_another_kind_gets_a_polite_answer(record: Records) -> None:
    page = record("@task\ndef other(): return 1\n\nother()", "other").page()
    assert "This task neither trains a model at Akkio nor waits for one." in text_of(page)
    assert not refreshes(page)


def test_each_mapped_task_has_its_own(record: Records) -> None:
    first = record(MAPPED.format(["D1", "D2"]))
    for index in (0, 1):
        first.map_index = index
        assert f"Dataset D{index + 1}" in text_of(first.page())
        assert f"<title>train [{index}]: Akkio training</title>" in first.page()


@pytest.mark.parametrize("index", ["{MAP_INDEX}", "%7BMAP_INDEX%7D", "-1", "", "x", "9" * 30])
def test_a_task_that_is_not_mapped_is_found_whatever_airflow_puts_for_its_index(record: Records, index: str) -> None:
    training = record()
    path = training.path.replace("map_index=-1", f"map_index={index}")
    assert "Model id M1" in text_of(training.client.get(path).text)


def test_what_is_not_there_is_not_found(record: Records) -> None:
    training = record()
    for changed in ("?map_index=7", "-gone?map_index=-1", "%00"):
        answer = training.client.get(training.path.replace("?map_index=-1", changed))
        assert answer.status_code == 404
        assert "no such task instance" in answer.text


def test_the_metric_stands_beside_that_of_the_run_before(record_often: RecordsOften) -> None:
    page = record_often([better(0.5), [], better(0.75)]).page()
    assert "0.75 +0.25 against 0.5 before" in text_of(page)
    assert 'role="img" aria-label="f1, oldest first: 0.5, 0.75"' in page


def test_a_mapped_task_is_compared_with_those_of_its_own_index(record_often: RecordsOften) -> None:
    last = record_often([better(0.5), better(0.75)], MAPPED.format(["D1", "D2"]))
    last.map_index = 1
    assert 'aria-label="f1, oldest first: 0.5, 0.75"' in last.page()


def test_the_line_goes_back_twenty_runs(record_often: RecordsOften) -> None:
    page = record_often([better(number / 100) for number in range(1, 24)]).page()
    values = ", ".join(f"{number / 100:.3g}" for number in range(4, 24))
    assert f'aria-label="f1, oldest first: {values}"' in page


def test_a_large_result_takes_three_queries_at_most_and_a_page_of_less_than_200_kb(record: Records) -> None:
    training = record()
    one = STATS[0][0] | dict.fromkeys(
        ("precision", "recall", "frequency", "true positives", "false negatives"), 100 / 3
    )
    training.leave("stats", [[one | {"class_name": f"a class {number}"} for number in range(200)]])
    training.leave("field_importance", {f"a field with a name {number}": number / 124750 for number in range(500)})
    outcomes = [
        {
            "outcome": f"a class {number}",
            "causes": [{"field": "Visits", "top_value": "6", "bottom_value": "0"}] * 5,
            "top_case": 0.4,
            "avg_case": 0.2,
            "bottom_case": 0.1,
        }
        for number in range(200)
    ]
    training.leave("data_story", [{"name": "Lead", "type": "category", "outcomes": outcomes}])
    training.page()
    forget_the_team()
    with counting_queries() as statements:
        page = training.page()
    assert 1 <= len(statements) <= 3, statements
    assert all(f"<bdi>a class {number}</bdi>" in page for number in range(200))
    assert all(f"<bdi>a field with a name {number}</bdi>" in page for number in range(500))
    assert len(page.encode()) < 200 * 1024


def test_of_a_result_beyond_all_measure_the_page_shows_a_part(record: Records) -> None:
    training = record()
    training.leave("stats", [[STATS[0][0] | {"class_name": f"class {number}"} for number in range(700)]])
    training.leave("field_importance", {f"field {number}": 1 / 700 for number in range(700)})
    text = text_of(training.page())
    assert "200 more classes are in the XCom stats" in text
    assert "480 more fields" in text
    assert "200 more fields are in the XCom field_importance" in text


def test_a_value_without_measure_is_left_out_and_no_error(record: Records) -> None:
    training = record()
    training.leave("field_importance", {"x" * 2_000_000: 1.0})
    page = training.page()
    assert "Model id M1" in text_of(page)
    assert len(page) < 20_000


def test_names_are_text_whatever_they_hold(record: Records) -> None:
    name = "<script>alert(1)</script> \"'🦜 \u05e9\u05dc\u05d5\u05dd"
    training = record()
    training.leave("model_id", name)
    training.leave("stats", [[{**STATS[0][0], "field_name": name, "class_name": name}]])
    training.leave(STATUS_KEY, {"status": name, "since": 1.0})
    page = training.page()
    assert page.count("<script") == 1
    assert name in text_of(page)


@pytest.mark.parametrize("path", ["", "/akkio/models", "/akkio/static/akkio.css"])
def test_nothing_is_shown_without_a_login(record: Records, path: str) -> None:
    training = record()
    stranger = TestClient(training.client.app, base_url="http://localhost")
    answer = stranger.get(path or training.path)
    assert answer.status_code == 401
    assert "M1" not in answer.text
