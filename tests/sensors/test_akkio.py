"""The sensor in a real Airflow (``airflow dags test``), against an Akkio on a real socket."""

from __future__ import annotations

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioTrainingFailedError, AkkioTrainingTimeoutError
from tests.airflow_runs import DagRunner
from tests.scripted import ScriptedAkkio, accepted, result, status

WAYS = {
    "in the triggerer": "deferrable=True",
    "in the worker": "deferrable=False",
    "in a worker now and then": "deferrable=False, mode='reschedule'",
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio whose trainings succeed at the first question."""
    connected.script("new", accepted("T1"))
    connected.script("status", status("SUCCEEDED", location="/models/train/T1/result"))
    connected.script("result", result("M1", stats=[[{"f1": 1.0}]], data_story=[]))
    return connected


def wait(arguments: str) -> str:
    return f"AkkioTrainSensor(task_id='wait', akkio_task_id='T1', poll_interval=0.05, {arguments})"


@every_way
def test_it_leaves_the_operators_xcoms(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
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
def test_it_waits(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("PENDING"), status("IN_PROGRESS"), status("SUCCEEDED"))
    assert run_dag(wait(way)).state == "success"
    assert len(trained.asked("status")) == 3


def test_it_takes_the_id_of_an_operator_that_did_not_wait(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = run_dag(
        """
        submit = AkkioTrainOperator(task_id="submit", dataset_id="D1", wait_for_completion=False)
        AkkioTrainSensor(task_id="wait", akkio_task_id=submit.output)
        """
    )
    assert run.xcoms("wait")["return_value"] == "M1"
    assert trained.received[-1].path.startswith("/api/v1/models/train/T1/")


def test_one_task_waits_for_many(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = run_dag("AkkioTrainSensor.partial(task_id='wait').expand(akkio_task_id=['T1', 'T2'])")
    assert [run.xcoms("wait", index)["return_value"] for index in (0, 1)] == ["M1", "M1"]
    assert {received.path.split("/")[5] for received in trained.asked("status")} == {"T1", "T2"}


def test_nothing_is_pushed_without_do_xcom_push(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    assert run_dag(wait("do_xcom_push=False")).xcoms("wait") == {}


@every_way
def test_a_failed_training_fails_it(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("FAILED", error="too few rows"))
    run = run_dag(wait(way))
    assert isinstance(run.failure, AkkioTrainingFailedError)
    assert "too few rows" in str(run.failure)


@every_way
@pytest.mark.parametrize("softness", ["soft_fail=True", "never_fail=True"])
def test_a_soft_sensor_is_skipped_instead(run_dag: DagRunner, trained: ScriptedAkkio, way: str, softness: str) -> None:
    trained.script("status", status("FAILED", error="too few rows"))
    run = run_dag(wait(f"{way}, {softness}"))
    assert run.task_state("wait") == "skipped"


@every_way
def test_the_timeout_ends_it(run_dag: DagRunner, trained: ScriptedAkkio, way: str) -> None:
    trained.script("status", status("IN_PROGRESS"))
    run = run_dag(wait(f"{way}, timeout=0.5"))
    assert isinstance(run.failure, AkkioTrainingTimeoutError)
    assert "Training T1 did not end within 0.5 s; its last status is IN_PROGRESS" in str(run.failure)


def test_a_rescheduled_sensor_gives_its_worker_back_between_questions(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    trained.script("status", status("IN_PROGRESS"), status("SUCCEEDED"))
    assert run_dag(wait(WAYS["in a worker now and then"])).state == "success"
    assert len(trained.asked("status")) == 2


def test_an_id_that_is_none_once_rendered_fails_before_anything_is_sent(
    run_dag: DagRunner, connected: ScriptedAkkio
) -> None:
    run = run_dag("AkkioTrainSensor(task_id='wait', akkio_task_id='{{ none }}')")
    assert isinstance(run.failure, AkkioParameterError)
    assert not connected.received


@pytest.mark.parametrize(
    "arguments", ["akkio_task_id=''", "akkio_task_id='T1', poke_interval=0", "akkio_task_id='T1', akkio_conn_id=''"]
)
def test_a_wrong_literal_breaks_the_dag_file(run_dag: DagRunner, arguments: str) -> None:
    with (
        pytest.raises(ValueError, match=r"^Task 'wait': .* must be"),
        run_dag.parsed(f"AkkioTrainSensor(task_id='wait', {arguments})"),
    ):
        pass


def test_a_sensors_own_word_for_the_interval_is_understood(run_dag: DagRunner) -> None:
    with run_dag.parsed("AkkioTrainSensor(task_id='wait', akkio_task_id='T1', poke_interval=7)") as dag:
        assert dag.get_task("wait").poll_interval == 7.0
