"""What a later try of a task makes of the training that an earlier one submitted, in a real Airflow."""

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
from tests.operators.test_train import PARTS, XCOMS, either_way
from tests.scripted import Reply, ScriptedAkkio, accepted, reset, result, result_of_its_own, silence, status
from tests.versions import lacks, needs, since

with_store = needs(Part.TASK_STATE_STORE)
resumes_later_tries = since("3.0")

DIES_AT_FIRST = """
class DiesAtFirst(AkkioTrainOperator):
    def await_training(self, context, training, deadline):
        if context["ti"].try_number == 1:
            raise RuntimeError("as if the worker had died")
        return super().await_training(context, training, deadline)

train = DiesAtFirst(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, retries=1, retry_delay=timedelta(0), {}
)
"""


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio that calls its trainings T1, T2 and T3; each is going on when it is asked for first."""
    connected.script("new", accepted("T1"), accepted("T2"), accepted("T3"))
    connected.script("status", status("IN_PROGRESS"), status("SUCCEEDED"))
    connected.script("result", result("M1", **PARTS))
    return connected


def run_twice(run_dag: DagRunner, arguments: str = "", *, deferrable: bool = True) -> FinishedRun:
    """Run a training whose first try ends between its submission and its wait."""
    return run_dag(DIES_AT_FIRST.format(f"deferrable={deferrable}, {arguments}"))


@with_store
@either_way
@pytest.mark.parametrize("force", [False, True])
def test_goes_on_with_it(run_dag: DagRunner, trained: ScriptedAkkio, force: bool, deferrable: bool) -> None:
    run = run_twice(run_dag, f"force={force}", deferrable=deferrable)
    assert (run.state, run.tries("train")) == ("success", 2)
    assert len(trained.asked("new")) == 1
    assert run.xcoms("train") == XCOMS


@with_store
@either_way
def test_takes_its_result_if_it_has_succeeded(run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool) -> None:
    trained.script("status", status("SUCCEEDED", location="/api/v1/models/train/T1/result"))
    run = run_twice(run_dag, "force=True", deferrable=deferrable)
    assert run.xcoms("train") == XCOMS
    assert [len(trained.asked(name)) for name in ("new", "status", "result")] == [1, 1, 1]
    update = run.status_update("train")
    assert update is not None
    assert update.status == "SUCCEEDED"


@with_store
def test_takes_its_result_if_its_status_is_gone(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", Reply(404))
    run = run_twice(run_dag, "force=True")
    assert run.xcoms("train") == XCOMS
    assert len(trained.asked("new")) == 1


@with_store
@pytest.mark.parametrize("answer", [status("FAILED"), status("UNKNOWN_TIMEOUT")])
def test_submits_anew_if_it_has_failed(run_dag: DagRunner, trained: ScriptedAkkio, answer: Reply) -> None:
    trained.script("status", answer, status("SUCCEEDED"))
    trained.script("result", result_of_its_own)
    run = run_twice(run_dag, "force=True")
    assert run.xcoms("train")["model_id"] == "model of T2"
    assert len(trained.asked("new")) == 2


@with_store
def test_submits_anew_if_akkio_does_not_know_it_where_that_is_harmless(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    trained.script("status", Reply(404), status("SUCCEEDED"))
    trained.script("result", Reply(404), result_of_its_own)
    assert run_twice(run_dag).xcoms("train")["model_id"] == "model of T2"


@with_store
@pytest.mark.parametrize("answer", [Reply(404), status("SUCCEEDED")])
def test_leaves_it_to_a_person_whether_to_pay_again_if_there_is_no_result(
    run_dag: DagRunner, trained: ScriptedAkkio, answer: Reply
) -> None:
    trained.script("status", answer)
    trained.script("result", Reply(404))
    run = run_twice(run_dag, "force=True")
    assert isinstance(run.failure, AkkioNotFoundError)
    assert (run.tries("train"), len(trained.asked("new"))) == (2, 1)
    assert run.kept() == []


@with_store
@either_way
def test_goes_on_with_it_if_the_task_failed_after_the_result_had_arrived(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    run = run_dag(
        f"""
        def fail_at_first(context, result):
            if context["ti"].try_number == 1:
                raise RuntimeError("after the result")

        AkkioTrainOperator(
            task_id="train", dataset_id="D1", poll_interval=0.05, force=True, deferrable={deferrable},
            retries=1, retry_delay=timedelta(0), post_execute=fail_at_first,
        )
        """
    )
    assert (run.state, run.tries("train"), len(trained.asked("new"))) == ("success", 2, 1)


@with_store
def test_submits_anew_if_its_parameters_are_other_ones(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("result", result_of_its_own)
    run = run_twice(run_dag, "duration='{{ 10 if ti.try_number == 1 else 60 }}'")
    assert run.xcoms("train")["model_id"] == "model of T2"
    assert [one.body["duration"] for one in trained.asked("new")] == [10, 60]


@with_store
def test_waits_for_it_if_akkio_cannot_be_had_at_first(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", reset, status("SUCCEEDED"))
    run = run_twice(run_dag, "force=True")
    assert run.xcoms("train") == XCOMS
    assert len(trained.asked("new")) == 1


@with_store
def test_never_submits_again_what_may_be_billed_twice(run_dag: DagRunner, connected: ScriptedAkkio) -> None:
    connected.script("new", silence)
    run = run_twice(run_dag, "force=True, execution_timeout=timedelta(seconds=5)")
    assert isinstance(run.failure, AkkioSubmissionUnknownError)
    assert "An earlier try of this task ended while it submitted a training" in str(run.failure)
    assert (run.tries("train"), len(connected.asked("new"))) == (2, 1)
    assert run.kept() == []


@with_store
@either_way
def test_finds_nothing_once_the_result_has_arrived(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    assert run_twice(run_dag, deferrable=deferrable).kept() == []


@with_store
def test_finds_the_training_that_went_on_while_its_task_failed(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", status("IN_PROGRESS"))
    run = run_twice(run_dag, "timeout=0.001")
    assert run.state == "failed"
    [kept] = run.kept()
    assert json.loads(kept)["akkio_task_id"] == "T1"


@lacks(Part.TASK_STATE_STORE)
@either_way
def test_submits_anew_where_airflow_keeps_nothing_between_tries(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    trained.script("result", result_of_its_own)
    run = run_twice(run_dag, deferrable=deferrable)
    assert (run.state, run.tries("train"), len(trained.asked("new"))) == ("success", 2, 2)
    assert run.xcoms("train")["model_id"] == "model of T2"


RESUMED = """
class Resumed({what}):
    is_resumed = False
    def execute(self, context):
        if self.is_resumed:
            return super().execute(context)
        type(self).is_resumed = True
        context["ti"].xcom_push(key="akkio_error", value="what an earlier try failed of")
        context["ti"].max_tries = {max_tries}
        return self.execute_complete(context, {event!r})

train = Resumed(task_id="train", poll_interval=0.05, deferrable=False, {arguments})
"""
SUCCEEDED = {"akkio_task_id": "T9", "ending": "succeeded", "try_number": 0}
OPERATOR = {"what": "AkkioTrainOperator", "arguments": "dataset_id='D1', predict_fields=['x']"}
SENSOR = {"what": "AkkioTrainSensor", "arguments": "akkio_task_id='T1'"}


def failed(try_number: int | None = 0, error: type[Exception] = AkkioTrainingTimeoutError) -> dict[str, Any]:
    return {
        "akkio_task_id": "T9",
        "ending": "failed",
        "error": error.__name__,
        "message": "too bad",
        "try_number": try_number,
    }


def resumed(
    run_dag: DagRunner, event: dict[str, Any], task: dict[str, str] = OPERATOR, retries: int = 0
) -> FinishedRun:
    """Run a first try that is resumed with an event; the one of an earlier try has the number 0."""
    return run_dag(RESUMED.format(event=event, max_tries=retries, **task))


@resumes_later_tries
@pytest.mark.parametrize(("task", "submissions"), [(OPERATOR, 1), (SENSOR, 0)])
def test_a_try_that_is_told_of_an_earlier_ones_failure_begins_anew(
    run_dag: DagRunner, trained: ScriptedAkkio, task: dict[str, str], submissions: int
) -> None:
    run = resumed(run_dag, failed(), task)
    assert run.xcoms("train")["model_id"] == "M1"
    assert "akkio_error" not in run.xcoms("train")
    assert len(trained.asked("new")) == submissions
    assert [one.path for one in trained.asked("status") if "T9" in one.path] == []


@resumes_later_tries
def test_a_try_that_is_told_of_an_earlier_ones_result_takes_it(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = resumed(run_dag, SUCCEEDED)
    assert run.xcoms("train")["model_id"] == "M1"
    assert "akkio_error" not in run.xcoms("train")
    assert not trained.asked("new")


@pytest.mark.parametrize("try_number", [1, None])
def test_a_try_that_is_told_of_its_own_failure_fails(
    run_dag: DagRunner, trained: ScriptedAkkio, try_number: int | None
) -> None:
    run = resumed(run_dag, failed(try_number))
    assert isinstance(run.failure, AkkioTrainingTimeoutError)
    assert not trained.asked("new")


@pytest.mark.parametrize(("error", "retries"), [(AkkioUnauthorizedError, 0), (AkkioTrainingTimeoutError, -1)])
def test_a_try_does_not_begin_anew_after_a_final_error_or_past_its_retries(
    run_dag: DagRunner, trained: ScriptedAkkio, error: type[Exception], retries: int
) -> None:
    run = resumed(run_dag, failed(error=error), retries=retries)
    assert isinstance(run.failure, error)
    assert not trained.asked("new")
