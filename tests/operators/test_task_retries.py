"""Task retries in a real Airflow: what a second attempt does with the training of the first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioSubmissionUnknownError,
    AkkioTrainingTimeoutError,
    AkkioUnauthorizedError,
)
from dev.versions import Part
from tests.airflow_runs import DagRunner, FinishedRun
from tests.operators.test_train import XCOMS, either_way
from tests.scripted import (
    Reply,
    ScriptedAkkio,
    accepted,
    end_of_execution_timeout,
    reset,
    result,
    result_named_after_training,
    status,
)
from tests.versions import lacks, needs, since

with_store = needs(Part.TASK_STATE_STORE)

FIRST_ATTEMPT_STOPS = """
class FirstAttemptStops(AkkioTrainOperator):
    def wait_until_done(self, context, *arguments):
        if context["ti"].try_number == 1:
            raise RuntimeError("the worker stops")
        return super().wait_until_done(context, *arguments)

train = FirstAttemptStops(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, retries=1, retry_delay=timedelta(0), {}
)
"""


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio whose trainings T1, T2 and T3 are in progress at the first poll."""
    connected.script("new", accepted("T1"), accepted("T2"), accepted("T3"))
    connected.script("status", status("IN_PROGRESS"), status("SUCCEEDED"))
    connected.script("result", result("M1", **{key: XCOMS[key] for key in ("stats", "field_importance", "data_story")}))
    return connected


def run_twice(run_dag: DagRunner, arguments: str = "", *, deferrable: bool = True) -> FinishedRun:
    """Run a training whose first attempt stops between its submission and its wait."""
    return run_dag(FIRST_ATTEMPT_STOPS.format(f"deferrable={deferrable}, {arguments}"))


@with_store
@either_way
@pytest.mark.parametrize("force", [False, True])
def test_retry_reattaches_to_the_running_training(
    run_dag: DagRunner, trained: ScriptedAkkio, force: bool, deferrable: bool
) -> None:
    run = run_twice(run_dag, f"force={force}", deferrable=deferrable)
    assert (run.state, run.tries("train")) == ("success", 2)
    assert len(trained.requests_to("new")) == 1
    assert run.xcoms("train") == XCOMS
    assert run.stored_records() == []


@with_store
@either_way
def test_retry_fetches_the_result_of_a_finished_training(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    trained.script("status", status("SUCCEEDED", location="/api/v1/models/train/T1/result"))
    run = run_twice(run_dag, "force=True", deferrable=deferrable)
    assert run.xcoms("train") == XCOMS
    assert [len(trained.requests_to(name)) for name in ("new", "status", "result")] == [1, 1, 1]
    update = run.status_update("train")
    assert update is not None
    assert update.status == "SUCCEEDED"


@with_store
def test_retry_fetches_the_result_if_the_status_has_expired(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", Reply(404))
    run = run_twice(run_dag, "force=True")
    assert run.xcoms("train") == XCOMS
    assert len(trained.requests_to("new")) == 1


@with_store
def test_retry_defers_again_while_the_result_of_a_finished_training_is_unavailable(
    run_dag: DagRunner, trained: ScriptedAkkio, short_result_retries: None
) -> None:
    trained.script("status", status("SUCCEEDED"))
    trained.script("result", *[Reply(502)] * 4, result("M2"))
    run = run_twice(run_dag, "force=True")
    assert run.xcoms("train")["model_id"] == "M2"
    assert [len(trained.requests_to(name)) for name in ("new", "status")] == [1, 1]


@with_store
@pytest.mark.parametrize("reply", [status("FAILED"), status("UNKNOWN_TIMEOUT")])
def test_retry_submits_after_a_failed_training(run_dag: DagRunner, trained: ScriptedAkkio, reply: Reply) -> None:
    trained.script("status", reply, status("SUCCEEDED"))
    trained.script("result", result_named_after_training)
    run = run_twice(run_dag, "force=True")
    assert run.xcoms("train")["model_id"] == "model of T2"
    assert len(trained.requests_to("new")) == 2


@with_store
def test_retry_submits_if_akkio_does_not_know_the_training(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", Reply(404), status("SUCCEEDED"))
    trained.script("result", Reply(404), result_named_after_training)
    assert run_twice(run_dag).xcoms("train")["model_id"] == "model of T2"


@with_store
@pytest.mark.parametrize("reply", [Reply(404), status("SUCCEEDED")])
def test_retry_does_not_pay_again_if_there_is_no_result(
    run_dag: DagRunner, trained: ScriptedAkkio, reply: Reply
) -> None:
    trained.script("status", reply)
    trained.script("result", Reply(404))
    run = run_twice(run_dag, "force=True")
    assert isinstance(run.failure, AkkioNotFoundError)
    assert (run.tries("train"), len(trained.requests_to("new"))) == (2, 1)
    assert run.stored_records() == []


@with_store
@either_way
def test_retry_after_a_failure_behind_the_result_reattaches(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    run = run_dag(
        f"""
        def fail_first(context, result):
            if context["ti"].try_number == 1:
                raise RuntimeError("after the result")

        AkkioTrainOperator(
            task_id="train", dataset_id="D1", poll_interval=0.05, force=True, deferrable={deferrable},
            retries=1, retry_delay=timedelta(0), post_execute=fail_first,
        )
        """
    )
    assert (run.state, run.tries("train"), len(trained.requests_to("new"))) == ("success", 2, 1)


@with_store
def test_retry_with_other_parameters_submits(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("result", result_named_after_training)
    run = run_twice(run_dag, "duration='{{ 10 if ti.try_number == 1 else 60 }}'")
    assert run.xcoms("train")["model_id"] == "model of T2"
    assert [request.body["duration"] for request in trained.requests_to("new")] == [10, 60]


@with_store
def test_retry_waits_for_the_training_while_akkio_is_unavailable(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", reset, status("SUCCEEDED"))
    run = run_twice(run_dag, "force=True")
    assert run.xcoms("train") == XCOMS
    assert len(trained.requests_to("new")) == 1


@with_store
def test_retry_does_not_repeat_an_interrupted_submission(run_dag: DagRunner, connected: ScriptedAkkio) -> None:
    connected.script("new", end_of_execution_timeout)
    run = run_twice(run_dag, "force=True, execution_timeout=timedelta(seconds=600)")
    assert isinstance(run.failure, AkkioSubmissionUnknownError)
    assert (run.tries("train"), len(connected.requests_to("new"))) == (2, 1)
    assert run.stored_records() == []


@with_store
def test_record_of_a_running_training_survives_a_timeout(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", status("IN_PROGRESS"))
    run = run_twice(run_dag, "timeout=0.001")
    assert run.state == "failed"
    [record] = run.stored_records()
    assert json.loads(record)["akkio_task_id"] == "T1"


@lacks(Part.TASK_STATE_STORE)
@either_way
def test_retry_without_a_task_state_store_submits(run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool) -> None:
    trained.script("result", result_named_after_training)
    run = run_twice(run_dag, deferrable=deferrable)
    assert (run.state, run.tries("train"), len(trained.requests_to("new"))) == ("success", 2, 2)
    assert run.xcoms("train")["model_id"] == "model of T2"


RESUMED_WITH_EVENT = """
class Resumed({operator}):
    is_resumed = False
    def execute(self, context):
        if self.is_resumed:
            return super().execute(context)
        type(self).is_resumed = True
        context["ti"].xcom_push(key="akkio_error", value="the error of a previous attempt")
        context["ti"].max_tries = {max_tries}
        return self.execute_complete(context, {event!r})

train = Resumed(task_id="train", poll_interval=0.05, deferrable=False, {arguments})
"""
OPERATOR = {"operator": "AkkioTrainOperator", "arguments": "dataset_id='D1', predict_fields=['x']"}
SENSOR = {"operator": "AkkioTrainSensor", "arguments": "akkio_task_id='T1'"}


def event(outcome: str, try_number: int | None = 0, error: type[Exception] | None = None) -> dict[str, Any]:
    """Return the payload of an event; the previous attempt has the number 0."""
    return {
        "akkio_task_id": "T9",
        "outcome": outcome,
        "submitted_at": 0.0,
        "deadline": 0.0,
        "error": "" if error is None else error.__name__,
        "message": "too bad",
        "try_number": try_number,
    }


def resume(run_dag: DagRunner, event: dict[str, Any], task: dict[str, str] = OPERATOR, retries: int = 0) -> FinishedRun:
    """Run a first attempt that Airflow resumes with an event."""
    return run_dag(RESUMED_WITH_EVENT.format(event=event, max_tries=retries, **task))


@since("3.0")
@pytest.mark.parametrize(("task", "submissions"), [(OPERATOR, 1), (SENSOR, 0)], ids=["operator", "sensor"])
def test_attempt_resumed_with_the_failure_of_the_previous_one_starts_over(
    run_dag: DagRunner, trained: ScriptedAkkio, task: dict[str, str], submissions: int
) -> None:
    run = resume(run_dag, event("failed", error=AkkioTrainingTimeoutError), task)
    assert run.xcoms("train")["model_id"] == "M1"
    assert "akkio_error" not in run.xcoms("train")
    assert len(trained.requests_to("new")) == submissions
    assert not any("T9" in request.path for request in trained.requests_to("status"))


@since("3.0")
def test_attempt_resumed_with_the_success_of_the_previous_one_fetches_the_result(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    run = resume(run_dag, event("succeeded"))
    assert run.xcoms("train")["model_id"] == "M1"
    assert "akkio_error" not in run.xcoms("train")
    assert not trained.requests_to("new")


@pytest.mark.parametrize("try_number", [1, None])
def test_attempt_resumed_with_its_own_failure_fails(
    run_dag: DagRunner, trained: ScriptedAkkio, try_number: int | None
) -> None:
    run = resume(run_dag, event("failed", try_number, AkkioTrainingTimeoutError))
    assert isinstance(run.failure, AkkioTrainingTimeoutError)
    assert not trained.requests_to("new")


@pytest.mark.parametrize(("error", "retries"), [(AkkioUnauthorizedError, 0), (AkkioTrainingTimeoutError, -1)])
def test_attempt_does_not_start_over_after_a_final_error_or_its_last_retry(
    run_dag: DagRunner, trained: ScriptedAkkio, error: type[Exception], retries: int
) -> None:
    run = resume(run_dag, event("failed", error=error), retries=retries)
    assert isinstance(run.failure, error)
    assert not trained.requests_to("new")
