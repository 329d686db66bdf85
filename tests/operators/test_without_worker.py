"""Where the triggerer may start and end a task, and what a worker makes of one that it did not start."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioSubmitOutcomeUnknown
from airflow_provider_akkio.submission import KEY
from dev.versions import Part
from tests.airflow_runs import DagRunner
from tests.conftest import Logged
from tests.operators.test_akkio import PARTS, XCOMS
from tests.scripted import ScriptedAkkio, accepted, result, status
from tests.versions import lacks, needs

by_triggerer = needs(Part.ENDS_IN_TRIGGERER)

TRAIN = 'AkkioTrainOperator(task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, {})'

LEFT_TO_A_WORKER = """
class LeftToAWorker(AkkioTrainOperator):
    def execute(self, context):
        from airflow.sdk.execution_time.xcom import XCom
        ti = context["ti"]
        for key, value in {before!r}.items():
            XCom.set(
                key=key, value=value, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
            )
        for key, value in {store!r}.items():
            context["task_state_store"].set(key, value)
        return self.execute_complete(context, {event!r})

train = LeftToAWorker(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, deferrable=False,
    start_from_trigger=True, {arguments}
)
train.start_from_trigger = {started}
"""
NOT_STARTED = {"akkio_task_id": "", "ending": "not started"}


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio that calls its trainings T1 and T2."""
    connected.script("new", accepted("T1"), accepted("T2"))
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result("M1", **PARTS))
    return connected


def parsed_task(run_dag: DagRunner, arguments: str) -> Any:
    """Return a task as the scheduler sees it."""
    from airflow.serialization.serialized_objects import DagSerialization

    with run_dag.parsed(f"train = {TRAIN.format(arguments)}") as dag:
        serialized = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        return serialized.get_task("train")


@by_triggerer
def test_the_scheduler_is_told_how_to_start_it(run_dag: DagRunner) -> None:
    task = parsed_task(run_dag, "start_from_trigger=True, timeout=60")
    assert task.start_from_trigger
    args = task.start_trigger_args
    assert args.trigger_cls == "airflow_provider_akkio.triggers.start.AkkioStartTrigger"
    assert args.next_method == "execute_complete"
    assert args.timeout.total_seconds() > 3600 + 60 + 300


@by_triggerer
@pytest.mark.parametrize("arguments", ["", "end_from_trigger=True"])
def test_by_default_a_worker_starts_it(run_dag: DagRunner, arguments: str) -> None:
    task = parsed_task(run_dag, arguments)
    assert not task.start_from_trigger
    assert task.start_trigger_args is None


@by_triggerer
@pytest.mark.parametrize(
    ("arguments", "ends", "starts"),
    [
        ("", True, True),
        ("dataset_id=DAG('other') and '{{ ds }}'", True, True),
        ("deferrable=False", False, False),
        ("wait_for_completion=False", False, False),
        ("outlets=[Asset('model')]", False, False),
        ("on_success_callback=print", False, False),
        ("on_success_callback=[print]", False, False),
        ("post_execute=print", False, False),
        ("do_xcom_push=False", False, False),
        ("on_execute_callback=print", True, False),
        ("pre_execute=print", True, False),
        ("on_failure_callback=print", True, True),
        ("retries=2", True, True),
    ],
)
def test_what_needs_a_worker(run_dag: DagRunner, arguments: str, ends: bool, starts: bool) -> None:
    given = {"dataset_id": "'D1'"} | dict([arguments.split("=", 1)] if arguments else [])
    listed = ", ".join(f"{name}={value}" for name, value in given.items())
    body = (
        f"from airflow.sdk import Asset\ntrain = AkkioTrainOperator(task_id='train', start_from_trigger=True, {listed})"
    )
    with run_dag.parsed(body) as dag:
        task = dag.get_task("train")
        assert task.ends_in_triggerer() is ends
        assert task.start_from_trigger is starts


@by_triggerer
@pytest.mark.parametrize(
    ("parameter", "starts"),
    [
        ("dataset_id=one.output", True),
        ("dataset_id='D1', predict_fields=[one.output, 'y']", True),
        ("dataset_id=one.output.map(str)", False),
    ],
)
def test_a_parameter_may_be_another_tasks_output(run_dag: DagRunner, parameter: str, starts: bool) -> None:
    body = f"""
    one = AkkioTrainOperator(task_id="one", dataset_id="D1", wait_for_completion=False)
    train = AkkioTrainOperator(task_id="train", start_from_trigger=True, {parameter})
    """
    with run_dag.parsed(body) as dag:
        task = dag.get_task("train")
        assert task.start_from_trigger is starts
        assert task.upstream_task_ids == {"one"}
        if starts:
            assert "ti" not in str(task.start_trigger_args.trigger_kwargs["timeout"])
            assert "xcom_pull(task_ids='one'" in str(task.start_trigger_args.trigger_kwargs)


@by_triggerer
@pytest.mark.parametrize("way", ["end_from_trigger", "start_from_trigger"])
def test_without_a_triggerer_it_falls_back_with_one_warning(
    run_dag: DagRunner, trained: ScriptedAkkio, logged: Logged, way: str
) -> None:
    run = run_dag(TRAIN.format(f"{way}=True"))
    assert run.xcoms("train") == XCOMS
    said = logged()
    assert said.count("The task ends in a worker: only a triggerer can end it") == 1
    assert said.count("The task starts in a worker: no scheduler started it.") == (way == "start_from_trigger")


def left_to_a_worker(run_dag: DagRunner, arguments: str = "", **given: Any) -> Any:
    """Run a task as Airflow resumes it after a trigger that did not start it, or did not end it."""
    given = {"before": {}, "store": {}, "event": NOT_STARTED, "started": False} | given
    return run_dag(LEFT_TO_A_WORKER.format(arguments=arguments, **given))


def kept(akkio_task_id: str | None, **others: Any) -> dict[str, Any]:
    """Return what is kept of a submission of the task above."""
    from airflow_provider_akkio.api.request import TrainRequest
    from airflow_provider_akkio.submission import Submission, fingerprint_of

    request = TrainRequest(dataset_id="D1", predict_fields=["x"], force=True)
    fingerprint = fingerprint_of(request.to_json(), "akkio_default")
    return Submission(
        fingerprint=fingerprint, akkio_task_id=akkio_task_id, submitted_at=1_000_000_000.0, **others
    ).to_entry()


@by_triggerer
def test_a_task_that_the_trigger_did_not_start_is_done_by_the_worker(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    run = left_to_a_worker(run_dag)
    assert run.xcoms("train") == XCOMS
    assert len(trained.asked("new")) == 1


@by_triggerer
def test_the_xcoms_of_an_earlier_try_are_gone(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", status("FAILED", error="too few rows"))
    before = {"model_id": "M0", "return_value": "M0", "akkio_error": "an earlier one", "akkio_status": "none of ours"}
    run = left_to_a_worker(run_dag, before=before)
    assert run.state == "failed"
    assert run.xcoms("train") == {"akkio_task_id": "T1", "akkio_error": str(run.failure)}


@by_triggerer
def test_a_training_that_an_earlier_triggerer_submitted_is_gone_on_with(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    run = left_to_a_worker(run_dag, "force=True", before={KEY: kept("T1"), "akkio_task_id": "T1"})
    assert run.xcoms("train") == XCOMS
    assert not trained.asked("new")
    assert run.kept() == []


@by_triggerer
def test_a_result_that_airflow_did_not_take_is_no_reason_to_train_anew(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    entry = kept("T1", ends_in_triggerer=True)
    before = {"akkio_task_id": "T1", "model_id": "M1", "return_value": "M1", KEY: entry}
    run = left_to_a_worker(run_dag, "force=True", store={KEY: entry}, before=before)
    assert run.xcoms("train") == XCOMS
    assert not trained.asked("new")


@by_triggerer
def test_what_a_triggerer_submitted_before_the_dag_was_changed_is_not_paid_twice(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    changed = """
class Changed(AkkioTrainOperator):
    def execute(self, context):
        if context["ti"].try_number == 1:
            context["ti"].xcom_push(key={key!r}, value={entry!r})
            raise RuntimeError("as if a person had cleared it")
        return super().execute(context)

train = Changed(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, force=True, retries=1,
    retry_delay=timedelta(0)
)
"""
    run = run_dag(changed.format(key=KEY, entry=kept("T1")))
    assert isinstance(run.failure, AkkioSubmitOutcomeUnknown)
    assert not trained.asked("new")


@by_triggerer
def test_a_task_whose_training_could_not_be_kept_is_not_ended_by_the_triggerer(
    run_dag: DagRunner,
    trained: ScriptedAkkio,
    logged: Logged,
    caplog: pytest.LogCaptureFixture,
) -> None:
    no_store = """
class NoStore(AkkioTrainOperator):
    def execute(self, context):
        def refuse(*_, **__):
            raise OSError("no store")
        context["task_state_store"].set = refuse
        return super().execute(context)

train = NoStore(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, end_from_trigger=True
)
"""
    run = run_dag(no_store)
    assert run.xcoms("train") == XCOMS
    assert "could not be kept for a later try" in caplog.text
    assert "only a triggerer can end it" not in logged()


@by_triggerer
@pytest.mark.parametrize(
    ("change", "starts"),
    [
        ("task.outlets = ['an asset']", False),
        ("task.on_execute_callback = [print]", False),
        ("task.dag.render_template_as_native_obj = True", False),
        ("task.dag.jinja_environment_kwargs = {'variable_start_string': '[['}", False),
        ("task.dataset_id = 'D2'", True),
    ],
)
def test_what_a_policy_changes_counts(run_dag: DagRunner, change: str, starts: bool) -> None:
    with run_dag.parsed("train = AkkioTrainOperator(task_id='train', dataset_id='D1', start_from_trigger=True)") as dag:
        task = dag.get_task("train")
        exec(change, {"task": task})  # noqa: S102 - the change is this test's own
        assert task.start_from_trigger is starts
        assert (task.start_trigger_args is not None) is starts
        if starts:
            assert task.start_trigger_args.trigger_kwargs["dataset_id"] == "D2"


@by_triggerer
def test_a_submission_that_an_earlier_triggerer_died_in_is_not_repeated(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    run = left_to_a_worker(run_dag, "force=True", before={KEY: kept(None)})
    assert isinstance(run.failure, AkkioSubmitOutcomeUnknown)
    assert not trained.asked("new")
    assert run.kept() == []


@by_triggerer
def test_a_task_that_a_triggerer_had_ended_trains_anew(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = left_to_a_worker(
        run_dag, "force=True", store={KEY: kept("T0", ends_in_triggerer=True)}, before={"return_value": "M0"}
    )
    assert run.xcoms("train") == XCOMS
    assert len(trained.asked("new")) == 1


@by_triggerer
@pytest.mark.parametrize("before", [{}, {"model_id": "M0"}])
def test_one_that_a_triggerer_had_not_ended_goes_on(
    run_dag: DagRunner, trained: ScriptedAkkio, before: dict[str, str]
) -> None:
    run = left_to_a_worker(run_dag, "force=True", store={KEY: kept("T1", ends_in_triggerer=True)}, before=before)
    assert run.xcoms("train") == XCOMS
    assert not trained.asked("new")


@by_triggerer
def test_what_a_triggerer_kept_outlives_the_failure_that_a_worker_raises(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    event = {"akkio_task_id": "T1", "ending": "failed", "error": "AkkioTrainingTimeout", "message": "too late"}
    run = left_to_a_worker(run_dag, event=event, before={KEY: kept("T1"), "akkio_task_id": "T1"}, started=True)
    assert run.state == "failed"
    assert run.xcoms("train") == {"akkio_task_id": "T1", "akkio_error": "too late"}
    [entry] = run.kept()
    assert json.loads(entry)["akkio_task_id"] == "T1"


@by_triggerer
def test_a_result_that_a_worker_leaves_instead_of_the_triggerer_is_the_workers(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    fails_at_the_end = """
class FailsAtTheEnd(AkkioTrainOperator):
    def execute(self, context):
        if context["ti"].try_number == 1:
            context["task_state_store"].set({key!r}, {entry!r})
            self.execute_complete(context, {event!r})
            context["ti"].xcom_push(key="return_value", value="M1")
            raise RuntimeError("as if the worker had died")
        return super().execute(context)

train = FailsAtTheEnd(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, force=True, end_from_trigger=True,
    deferrable=False, retries=1, retry_delay=timedelta(0)
)
"""
    entry, event = kept("T1", ends_in_triggerer=True), {"akkio_task_id": "T1", "ending": "succeeded"}
    run = run_dag(fails_at_the_end.format(key=KEY, entry=entry, event=event))
    assert run.xcoms("train") == XCOMS
    assert not trained.asked("new")


@by_triggerer
@pytest.mark.parametrize(
    ("left", "submissions"), [(["return_value"], 1), (["return_value", KEY], 0), (["model_id"], 0)]
)
def test_a_later_try_trains_anew_if_airflow_knew_that_a_triggerer_had_ended_the_task(
    run_dag: DagRunner, trained: ScriptedAkkio, left: list[str], submissions: int
) -> None:
    ended = """
class Ended(AkkioTrainOperator):
    def execute(self, context):
        if context["ti"].try_number == 1:
            context["task_state_store"].set({key!r}, {entry!r})
            for key in {left!r}:
                context["ti"].xcom_push(key=key, value="M0")
            raise RuntimeError("as if a person had cleared it")
        return super().execute(context)

train = Ended(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, force=True, deferrable=False,
    retries=1, retry_delay=timedelta(0)
)
"""
    run = run_dag(ended.format(key=KEY, entry=kept("T1", ends_in_triggerer=True), left=left))
    assert run.xcoms("train") == XCOMS
    assert len(trained.asked("new")) == submissions


@by_triggerer
def test_a_result_that_a_later_try_takes_in_its_worker_is_the_workers(
    run_dag: DagRunner, trained: ScriptedAkkio
) -> None:
    dies_twice = """
class DiesTwice(AkkioTrainOperator):
    def execute(self, context):
        if context["ti"].try_number == 1:
            context["task_state_store"].set({key!r}, {entry!r})
            raise RuntimeError("as if the triggerer's event was lost")
        model_id = super().execute(context)
        if context["ti"].try_number == 2:
            context["ti"].xcom_push(key="return_value", value=model_id)
            raise RuntimeError("as if the worker had died")
        return model_id

train = DiesTwice(
    task_id="train", dataset_id="D1", predict_fields=["x"], poll_interval=0.05, force=True, end_from_trigger=True,
    retries=2, retry_delay=timedelta(0)
)
"""
    run = run_dag(dies_twice.format(key=KEY, entry=kept("T1", ends_in_triggerer=True)))
    assert run.xcoms("train") == XCOMS
    assert not trained.asked("new")


@lacks(Part.ENDS_IN_TRIGGERER)
@pytest.mark.parametrize("way", ["end_from_trigger", "start_from_trigger"])
@pytest.mark.parametrize("dataset_id", ["'D1'", "choose()"])
def test_an_older_airflow_leaves_it_to_workers_and_says_so_once(
    run_dag: DagRunner, trained: ScriptedAkkio, logged: Logged, way: str, dataset_id: str
) -> None:
    run = run_dag(
        f"""
        @task
        def choose():
            return "D1"

        train = AkkioTrainOperator(
            task_id="train", dataset_id={dataset_id}, predict_fields=["x"], poll_interval=0.05, {way}=True
        )
        assert not train.start_from_trigger
        """
    )
    assert run.xcoms("train") == XCOMS
    assert logged().count("The task starts and ends in a worker: Airflow is older than 3.3.") == 1
