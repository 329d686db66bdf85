"""The sensor in a real Airflow (``dag.test()``), against a scripted Akkio on a real socket."""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_akkio.api.types import AkkioTask
from airflow_provider_akkio.exceptions import (
    AkkioParameterError,
    AkkioResponseError,
    AkkioTrainingFailedError,
    AkkioTrainingTimeoutError,
    AkkioUnavailableError,
)
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators import _base
from airflow_provider_akkio.sensors import akkio
from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger
from tests.airflow_runs import DagRunner, call
from tests.scripted import Reply, ScriptedAkkio, accepted, result, status

WAYS = {
    "in the triggerer": "deferrable=True",
    "in the worker": "deferrable=False",
    "rescheduled": "deferrable=False, mode='reschedule'",
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio whose trainings are done at the first poll."""
    connected.script("new", accepted("T1"))
    connected.script("status", status("SUCCEEDED", location="/models/train/T1/result"))
    connected.script("result", result("M1", stats=[[{"f1": 1.0}]], data_story=[]))
    return connected


def wait(arguments: str) -> str:
    return f"AkkioTrainSensor(task_id='wait', akkio_task_id='T1', poll_interval=0.05, {arguments})"


@every_way
def test_sensor_pushes_the_xcoms_of_the_operator(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    run = run_dag(wait(way))
    assert run.state == "success"
    assert run.xcoms("wait") == {
        "model_id": "M1",
        "return_value": "M1",
        "stats": [[{"f1": 1.0}]],
        "field_importance": {},
        "data_story": [],
    }


@pytest.mark.parametrize("way", [WAYS["in the triggerer"], WAYS["in the worker"]])
def test_sensor_polls_until_the_training_is_done(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("PENDING"), status("IN_PROGRESS"), status("SUCCEEDED"))
    trained.script("result", Reply(404), result("M1"))
    assert run_dag(wait(way)).state == "success"
    assert len(trained.requests_to("status")) == 3


@every_way
def test_sensor_finds_the_result_of_a_training_that_akkio_reports_as_pending(
    run_dag: DagRunner, trained: ScriptedAkkio, way: str
) -> None:
    trained.script("status", status("PENDING"))
    run = run_dag(wait(way))
    assert run.xcoms("wait")["return_value"] == "M1"
    assert len(trained.requests_to("status")) == 1


@pytest.mark.parametrize("request_timeout", [30.0, 600.0])
def test_deferral_leaves_the_trigger_time_for_its_last_requests(
    connected: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, request_timeout: float
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_AKKIO_DEFAULT"]) | {"extra": {"timeout": request_timeout}}
    monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", json.dumps(connection))
    sensor = akkio.AkkioTrainSensor(task_id="wait", akkio_task_id="T1", timeout=100)
    context: Any = {"ti": SimpleNamespace(try_number=1)}
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    timeout, trigger = deferred.value.timeout, deferred.value.trigger
    assert isinstance(timeout, timedelta)
    assert isinstance(trigger, AkkioTrainTrigger)
    assert timeout.total_seconds() == pytest.approx(trigger.deferral_timeout)
    status_and_result = 2 * request_timeout
    assert trigger.deferred_at + timeout.total_seconds() > trigger.deadline + status_and_result


def test_task_is_not_resumed_too_early_if_fetching_the_result_has_taken_longer_than_the_wait_may(
    connected: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0

    def fail_slowly(*_: object) -> None:
        nonlocal now
        now += 700
        raise AkkioUnavailableError("HTTP 502")

    monkeypatch.setattr(_base, "time", SimpleNamespace(time=lambda: now))
    sensor = akkio.AkkioTrainSensor(task_id="wait", akkio_task_id="T1")
    monkeypatch.setattr(sensor, "request_result", fail_slowly)
    context: Any = {"ti": SimpleNamespace(try_number=1)}
    training = AkkioTask("T1", now)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.finish(context, AkkioHook(), training, _base.Deadlines(now + 600, None), None)
    trigger = deferred.value.trigger
    assert isinstance(trigger, AkkioTrainTrigger)
    assert trigger.resume_in >= _base.MIN_DEFERRAL


def test_sensor_waits_for_the_training_of_an_operator(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = run_dag(
        """
        submit = AkkioTrainOperator(task_id="submit", dataset_id="D1", wait_for_completion=False)
        AkkioTrainSensor(task_id="wait", akkio_task_id=submit.output)
        """
    )
    assert run.xcoms("wait")["return_value"] == "M1"
    assert trained.received[-1].path.startswith("/api/v1/models/train/T1/")


def test_mapped_sensor_waits_for_several_trainings(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = run_dag("AkkioTrainSensor.partial(task_id='wait').expand(akkio_task_id=['T1', 'T2'])")
    assert [run.xcoms("wait", index)["return_value"] for index in (0, 1)] == ["M1", "M1"]
    assert {received.path.split("/")[5] for received in trained.requests_to("status")} == {"T1", "T2"}


def test_sensor_pushes_nothing_without_do_xcom_push(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    assert run_dag(wait("do_xcom_push=False")).xcoms("wait") == {}


@every_way
def test_sensor_fails_with_a_failed_training(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("FAILED", error="too few rows"))
    run = run_dag(wait(way))
    assert isinstance(run.failure, AkkioTrainingFailedError)
    assert "too few rows" in str(run.failure)


@every_way
def test_sensor_that_never_fails_is_skipped(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("FAILED", error="too few rows"))
    assert run_dag(wait(f"{way}, never_fail=True")).task_state("wait") == "skipped"


@every_way
@pytest.mark.parametrize(
    "reply",
    [status("FAILED", error="too few rows"), Reply(401, {"detail": "wrong key"}), Reply(404, {"detail": "unknown"})],
    ids=["failed", "wrong key", "unknown"],
)
def test_soft_sensor_fails_after_an_error(run_dag: DagRunner, trained: ScriptedAkkio, way: str, reply: Reply) -> None:
    trained.script("status", reply)
    trained.script("result", Reply(404, {"detail": "unknown"}))
    run = run_dag(wait(f"{way}, soft_fail=True"))
    assert run.task_state("wait") == "failed"
    assert run.xcoms("wait")["akkio_error"] == str(run.failure)


@every_way
def test_soft_sensor_fails_without_a_connection(run_dag: DagRunner, way: str) -> None:
    assert run_dag(wait(f"{way}, soft_fail=True, akkio_conn_id='missing'")).task_state("wait") == "failed"


@every_way
def test_soft_sensor_is_skipped_at_its_timeout(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("IN_PROGRESS"))
    assert run_dag(wait(f"{way}, soft_fail=True, timeout=0.5")).task_state("wait") == "skipped"


@every_way
def test_sensor_times_out(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("IN_PROGRESS"))
    run = run_dag(wait(f"{way}, timeout=0.5"))
    assert isinstance(run.failure, AkkioTrainingTimeoutError)
    assert re.search(r"T1 .*within 0.5 s", str(run.failure))


def test_rescheduled_sensor_releases_its_worker_between_polls(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", status("IN_PROGRESS"), status("SUCCEEDED"))
    assert run_dag(wait(WAYS["rescheduled"])).state == "success"
    assert len(trained.requests_to("status")) == 2


def test_rescheduled_sensor_fetches_the_result_with_a_later_poll(
    run_dag: DagRunner, trained: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(akkio, "RESULT_RETRY_SECONDS", 0.0)
    trained.script("result", Reply(503), result("M1"))
    assert run_dag(wait(WAYS["rescheduled"])).xcoms("wait")["model_id"] == "M1"
    assert len(trained.requests_to("status")) == 2


def test_rescheduled_sensor_fails_with_an_invalid_result(
    run_dag: DagRunner, trained: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(akkio, "RESULT_RETRY_SECONDS", 0.0)
    trained.script("result", Reply(body={"status": "error", "message": "no model"}))
    failure = run_dag(wait(WAYS["rescheduled"])).failure
    assert isinstance(failure, AkkioResponseError)
    assert re.search("T1 succeeded, but .*no model", str(failure))


@pytest.mark.parametrize("way", [WAYS["in the triggerer"], WAYS["in the worker"]])
def test_soft_sensor_is_skipped_at_its_execution_timeout(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("IN_PROGRESS"))
    run = run_dag(wait(f"{way}, soft_fail=True, execution_timeout=timedelta(seconds=2)"))
    assert run.task_state("wait") == "skipped"


@pytest.mark.parametrize("parameter", ["akkio_task_id", "akkio_conn_id"])
def test_missing_rendered_id_fails_before_anything_is_sent(
    run_dag: DagRunner, connected: ScriptedAkkio, parameter: str
) -> None:
    parameters = {"akkio_task_id": "T1", parameter: "{{ none }}"}
    run = run_dag(call("AkkioTrainSensor", task_id="wait", **parameters))
    assert isinstance(run.failure, AkkioParameterError)
    assert not connected.received


@pytest.mark.parametrize(
    "arguments", ["akkio_task_id=''", "akkio_task_id='T1', poke_interval=0", "akkio_task_id='T1', akkio_conn_id=''"]
)
def test_invalid_literal_fails_at_parse_time(run_dag: DagRunner, arguments: str) -> None:
    with (
        pytest.raises(ValueError, match=r"^Task 'wait': .* must be"),
        run_dag.parsed(f"AkkioTrainSensor(task_id='wait', {arguments})"),
    ):
        pass


@pytest.mark.parametrize("argument", ["poke_interval=7", "default_args={'poke_interval': 7}"])
def test_poke_interval_sets_the_poll_interval(run_dag: DagRunner, argument: str) -> None:
    with run_dag.parsed(f"AkkioTrainSensor(task_id='wait', akkio_task_id='T1', {argument})") as dag:
        assert dag.get_task("wait").poll_interval == 7.0
