"""The train operator in a real Airflow (``dag.test()``), against a scripted Akkio on a real socket."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

from airflow_provider_akkio.exceptions import (
    AkkioConfigurationError,
    AkkioForbiddenError,
    AkkioNotFoundError,
    AkkioParameterError,
    AkkioSubmissionUnknownError,
    AkkioTrainingFailedError,
    AkkioTrainingTimeoutError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
)
from airflow_provider_akkio.operators import _base
from dev.versions import Part
from tests.airflow_runs import DagRunner
from tests.conftest import Logged
from tests.scripted import (
    Reply,
    ScriptedAkkio,
    accepted,
    cut_short,
    end_of_execution_timeout,
    reset,
    result,
    result_named_after_training,
    status,
)
from tests.versions import not_in

PARTS = {"stats": [[{"class_name": "0", "f1": 0.5}]], "field_importance": {"b": 0.25, "a": 0.75}, "data_story": [{}]}
XCOMS = {"akkio_task_id": "T1", "model_id": "M1", "return_value": "M1", **PARTS}

not_in_3_0 = not_in("3.0")
either_way = pytest.mark.parametrize("deferrable", [True, False])


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio whose trainings succeed."""
    connected.script("new", accepted("T1"))
    connected.script("status", status("SUBMITTED"), status("SUCCEEDED", location="/api/v1/models/train/T1/result"))
    connected.script("result", result("M1", **PARTS))
    return connected


def train(arguments: str = "", *, deferrable: bool = True) -> str:
    """Return the source of a training task."""
    return (
        f"train = AkkioTrainOperator(task_id='train', dataset_id='D1', predict_fields=['x'], poll_interval=0.05, "
        f"deferrable={deferrable}, {arguments})"
    )


@either_way
def test_operator_pushes_the_model_and_its_statistics(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    run = run_dag(train(deferrable=deferrable))
    assert run.state == "success"
    assert run.xcoms("train") == XCOMS


@either_way
def test_operator_pushes_no_xcom_for_a_missing_part(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    trained.script("result", result("M1", stats=PARTS["stats"], field_importance=None))
    run = run_dag(train(deferrable=deferrable))
    assert run.state == "success"
    assert run.xcoms("train") == {key: XCOMS[key] for key in ("akkio_task_id", "model_id", "return_value", "stats")}


def test_blocking_operator_pushes_the_status(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    trained.script("status", status("IN_PROGRESS", estimate_seconds=20), status("FAILED", error="too few rows"))
    run = run_dag(train(deferrable=False))
    update = run.status_update("train")
    assert update is not None
    assert update.submitted_at is not None
    assert (update.status, update.estimate_seconds) == ("FAILED", 20)
    assert update.submitted_at <= update.since <= time.time()


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"new": Reply(422, {"detail": [{"loc": ["body", "predict_fields"], "msg": "no such field"}]})}, "no such"),
        ({"status": status("FAILED", error="too few rows")}, "too few rows"),
        ({"status": status("IN_PROGRESS")}, "within 0.5 s"),
    ],
)
@either_way
def test_operator_pushes_the_error_for_downstream_tasks(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool, answers: dict[str, Any], reason: str
) -> None:
    for endpoint, reply in answers.items():
        trained.script(endpoint, reply)
    run = run_dag(
        train("timeout=0.5", deferrable=deferrable)
        + """
@task(trigger_rule="one_failed")
def report(error):
    return error

report(train.output["akkio_error"])
"""
    )
    assert run.task_state("train") == "failed"
    assert run.xcoms("report")["return_value"] == str(run.failure)
    assert reason in str(run.failure)


def test_operator_sends_every_parameter(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run_dag(
        """
        AkkioTrainOperator(
            task_id="train", dataset_id="D1", predict_fields="x", ignore_fields=["y", "z"], duration=300,
            extra_attention=True, force=True,
        )
        """
    )
    assert trained.received[0].body == {
        "dataset_id": "D1",
        "predict_fields": ["x"],
        "ignore_fields": ["y", "z"],
        "duration": 300,
        "extra_attention": True,
        "force": True,
    }


def test_downstream_task_receives_model_id_and_statistics(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = run_dag(
        f"""
        {train()}

        @task
        def use(model_id, stats):
            return [model_id, stats[0][0]["f1"]]

        use(train.output, train.output["stats"])
        """
    )
    assert run.xcoms("use") == {"return_value": ["M1", 0.5]}


def test_operator_without_wait_returns_the_akkio_task_id(run_dag: DagRunner, trained: ScriptedAkkio) -> None:
    run = run_dag(train("wait_for_completion=False"))
    assert run.xcoms("train") == {"akkio_task_id": "T1", "return_value": "T1"}
    assert not trained.requests_to("status")


@either_way
def test_operator_pushes_nothing_without_do_xcom_push(
    run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
) -> None:
    run = run_dag(train("do_xcom_push=False", deferrable=deferrable))
    assert run.state == "success"
    assert run.xcoms("train") == {}


class TestTemplates:
    def test_every_parameter_can_be_a_template(
        self, run_dag: DagRunner, trained: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(
            "AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "akkio", "host": trained.url, "password": "k"})
        )
        monkeypatch.delenv("AIRFLOW_CONN_AKKIO_DEFAULT")
        run = run_dag(
            """
            AkkioTrainOperator(
                task_id="train",
                dataset_id="{{ 'D' ~ 1 }}",
                predict_fields=["{{ 'x' }}"],
                ignore_fields="{{ ['y', 'z'] }}",
                duration="{{ 60 }}",
                extra_attention="{{ 1 == 1 }}",
                force="{{ 1 == 2 }}",
                akkio_conn_id="{{ 'other' }}",
            )
            """
        )
        assert run.state == "success"
        assert trained.received[0].body == {
            "dataset_id": "D1",
            "predict_fields": ["x"],
            "ignore_fields": ["y", "z"],
            "duration": 60,
            "extra_attention": True,
            "force": False,
        }

    @not_in_3_0  # it cannot store an XCom of None
    def test_every_parameter_can_be_an_xcom_arg(self, run_dag: DagRunner, trained: ScriptedAkkio) -> None:
        run = run_dag(
            """
            @task(multiple_outputs=True)
            def choose():
                return {"dataset_id": "D1", "fields": ["x"], "ignored": None, "duration": 1800, "yes": True}

            chosen = choose()
            AkkioTrainOperator(
                task_id="train", dataset_id=chosen["dataset_id"], predict_fields=chosen["fields"],
                ignore_fields=chosen["ignored"], duration=chosen["duration"], extra_attention=chosen["yes"],
                force=chosen["yes"],
            )
            """
        )
        assert run.state == "success"
        body = trained.received[0].body
        assert (body["duration"], body["predict_fields"], body["force"]) == (1800, ["x"], True)

    @either_way
    def test_invalid_rendered_value_fails_before_anything_is_sent(
        self, run_dag: DagRunner, connected: ScriptedAkkio, deferrable: bool
    ) -> None:
        run = run_dag(train("duration='{{ 11 }}', retries=2", deferrable=deferrable))
        assert isinstance(run.failure, AkkioParameterError)
        assert "duration must be one of 10, 60, 300, 1800" in str(run.failure)
        assert run.tries("train") == 1
        assert not connected.received


class TestMapping:
    def test_mapped_operator_trains_several_models(self, run_dag: DagRunner, connected: ScriptedAkkio) -> None:
        connected.script("new", accepted("T1"), accepted("T2"))
        connected.script("status", status("SUCCEEDED"))
        connected.script("result", result_named_after_training)
        run = run_dag(
            """
            AkkioTrainOperator.partial(task_id="train", predict_fields="x", poll_interval=0.05).expand(
                dataset_id=["D1", "D2"]
            )
            """
        )
        assert run.state == "success"
        assert {received.body["dataset_id"] for received in connected.requests_to("new")} == {"D1", "D2"}
        models = [run.xcoms("train", index)["return_value"] for index in (0, 1)]
        assert sorted(models) == ["model of T1", "model of T2"]

    def test_invalid_mapped_value_fails_only_its_own_task_instance(
        self, run_dag: DagRunner, trained: ScriptedAkkio
    ) -> None:
        run = run_dag(
            """
            AkkioTrainOperator.partial(task_id="train", dataset_id="D1").expand(duration=[10, 11])
            """
        )
        assert [run.task_state("train", index) for index in (0, 1)] == ["success", "failed"]
        assert len(trained.requests_to("new")) == 1


class TestParsing:
    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ("dataset_id=''", "dataset_id must be"),
            ("dataset_id='D1', predict_fields=[]", "predict_fields must be"),
            ("dataset_id='D1', predict_fields=['{{ x }}', 7]", None),
            ("dataset_id='D1', predict_fields='x', ignore_fields=['x']", "both contain"),
            ("dataset_id='{{ x }}', duration=11", "duration must be one of 10, 60, 300, 1800"),
            ("dataset_id='D1', extra_attention='maybe'", "extra_attention must be"),
            ("dataset_id='D1', force=1", "force must be"),
            ("dataset_id='D1', poll_interval=0", "poll_interval must be"),
            ("dataset_id='D1', poll_interval=True", "poll_interval must be"),
            ("dataset_id='D1', timeout=-1", "timeout must be"),
            ("dataset_id='D1', timeout='soon'", "timeout must be"),
            ("dataset_id='D1', timeout=timedelta.max", "timeout must be"),
            ("dataset_id='D1', akkio_conn_id=None", "akkio_conn_id must be"),
            ("dataset_id='D1', timeout=timedelta(0)", "timeout must be"),
        ],
    )
    def test_invalid_literal_fails_at_parse_time(
        self, run_dag: DagRunner, arguments: str, complaint: str | None
    ) -> None:
        source = f"AkkioTrainOperator(task_id='train', {arguments})"
        if complaint is None:
            with run_dag.parsed(source) as dag:
                assert dag.task_ids == ["train"]
        else:
            with pytest.raises(ValueError, match=rf"^Task 'train': .*{complaint}"), run_dag.parsed(source):
                pass

    def test_templates_and_timedeltas_parse(self, run_dag: DagRunner) -> None:
        source = """
            AkkioTrainOperator(
                task_id="train", dataset_id="{{ 1 }}", duration="{% if 1 %}10{% endif %}", timeout=timedelta(hours=2),
            )
            """
        with run_dag.parsed(source) as dag:
            assert dag.get_task("train").timeout == 7200.0


class TestKilling:
    def test_killed_operator_logs_that_the_training_continues(
        self, run_dag: DagRunner, trained: ScriptedAkkio, logged: Logged
    ) -> None:
        trained.script("status", end_of_execution_timeout)
        run_dag(train("execution_timeout=timedelta(seconds=600)", deferrable=False))
        assert "AkkioTrainSensor(akkio_task_id='T1')" in logged()

    def test_killed_operator_without_a_training_logs_nothing(self, run_dag: DagRunner, logged: Logged) -> None:
        with run_dag.parsed(train()) as dag:
            dag.get_task("train").on_kill()
        assert "Training" not in logged()


class TestFailures:
    @pytest.mark.parametrize(
        ("reply", "error", "message"),
        [
            (Reply(401), AkkioUnauthorizedError, "password of connection 'akkio_default'"),
            (Reply(403), AkkioForbiddenError, "connection 'akkio_default'"),
            (Reply(404), AkkioNotFoundError, "dataset 'D1'"),
            (
                Reply(422, {"detail": [{"loc": ["body", "predict_fields"], "msg": "is not a field"}]}),
                AkkioUnprocessableError,
                "predict_fields: is not a field",
            ),
        ],
    )
    def test_rejected_submission_is_not_retried(
        self, run_dag: DagRunner, connected: ScriptedAkkio, reply: Reply, error: type[Exception], message: str
    ) -> None:
        connected.script("new", reply)
        run = run_dag(train("retries=3"))
        assert isinstance(run.failure, error)
        assert isinstance(run.failure, AirflowFailException)
        assert message in str(run.failure)
        assert (run.tries("train"), len(connected.received)) == (1, 1)

    @either_way
    def test_revoked_key_ends_the_wait(self, run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool) -> None:
        trained.script("status", status("IN_PROGRESS"), Reply(401))
        run = run_dag(train("retries=3", deferrable=deferrable))
        assert isinstance(run.failure, AkkioUnauthorizedError)
        assert run.tries("train") == 1
        assert run.xcoms("train") == {"akkio_task_id": "T1", "akkio_error": str(run.failure)}

    @either_way
    def test_failed_training_is_submitted_again_by_a_task_retry(
        self, run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
    ) -> None:
        # With a task state store, the retry polls the previous training before it submits again.
        polls = 2 if Part.TASK_STATE_STORE.is_here else 1
        trained.script("status", *[status("FAILED", error="too few rows")] * polls, status("SUCCEEDED"))
        run = run_dag(train("retries=1, retry_delay=timedelta(0)", deferrable=deferrable))
        assert run.state == "success"
        assert (run.tries("train"), len(trained.requests_to("new"))) == (2, 2)
        assert "akkio_error" not in run.xcoms("train")

    @either_way
    def test_failed_training_raises_akkios_reason(
        self, run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
    ) -> None:
        trained.script("status", status("FAILED", error="too few rows"))
        run = run_dag(train(deferrable=deferrable))
        assert isinstance(run.failure, AkkioTrainingFailedError)
        assert "too few rows" in str(run.failure)

    @either_way
    def test_timeout_counts_from_the_submission(
        self, run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
    ) -> None:
        trained.script("status", status("IN_PROGRESS"))
        run = run_dag(train("timeout=0.5", deferrable=deferrable))
        assert isinstance(run.failure, AkkioTrainingTimeoutError)
        assert re.search(r"T1 .*within 0.5 s.*IN_PROGRESS", str(run.failure))

    @either_way
    def test_execution_timeout_raises_airflows_timeout(
        self, run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool
    ) -> None:
        trained.script("status", status("IN_PROGRESS"))
        run = run_dag(train("execution_timeout=timedelta(seconds=1)", deferrable=deferrable))
        assert isinstance(run.failure, AirflowTaskTimeout)

    def test_forced_submission_with_unknown_outcome_is_not_repeated(
        self, run_dag: DagRunner, connected: ScriptedAkkio
    ) -> None:
        connected.script("new", reset)
        run = run_dag(train("force=True, retries=3"))
        assert isinstance(run.failure, AkkioSubmissionUnknownError)
        assert len(connected.received) == 1

    def test_connection_without_a_key_fails_without_a_retry(
        self, run_dag: DagRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", '{"conn_type": "akkio"}')
        run = run_dag(train("retries=3"))
        assert isinstance(run.failure, AkkioConfigurationError)
        assert run.tries("train") == 1

    @pytest.mark.usefixtures("short_result_retries")
    def test_operator_defers_again_while_the_result_is_unavailable(
        self, run_dag: DagRunner, trained: ScriptedAkkio, logged: Logged
    ) -> None:
        trained.script("result", *[Reply(502)] * 4, result("M1", **PARTS))
        run = run_dag(train())
        assert run.xcoms("train") == XCOMS
        assert (run.tries("train"), len(trained.requests_to("new")), len(trained.requests_to("status"))) == (1, 1, 2)
        assert "defers again" in logged()

    @pytest.mark.usefixtures("short_result_retries")
    @pytest.mark.parametrize("reply", [Reply(200, b"<html>Down for maintenance</html>"), cut_short])
    def test_operator_fetches_a_result_after_invalid_responses(
        self, run_dag: DagRunner, trained: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, reply: Any
    ) -> None:
        monkeypatch.setattr(_base, "MAX_RETRY_SECONDS", 60.0)
        trained.script("result", *[reply] * 3, result("M1", **PARTS))
        run = run_dag(train())
        assert run.xcoms("train") == XCOMS
        assert run.tries("train") == 1

    @either_way
    @pytest.mark.usefixtures("short_result_retries")
    @pytest.mark.parametrize("limit", ["timeout=2", "execution_timeout=timedelta(seconds=4)"])
    def test_operator_keeps_the_record_if_the_result_is_unavailable_at_the_deadline(
        self, run_dag: DagRunner, trained: ScriptedAkkio, deferrable: bool, limit: str
    ) -> None:
        trained.script("status", status("SUCCEEDED"))
        trained.script("result", Reply(502))
        run = run_dag(train(limit, deferrable=deferrable))
        if deferrable or limit.startswith("timeout"):
            assert isinstance(run.failure, AkkioUnavailableError)
            assert re.search(r"T1 succeeded.*HTTP 502.*AkkioTrainSensor\(akkio_task_id='T1'\)", str(run.failure))
        else:
            assert isinstance(run.failure, AirflowTaskTimeout)
        records = run.stored_records() if run.dag_run is not None else []
        assert all("T1" in record for record in records)
        assert len(records) == int(Part.TASK_STATE_STORE.is_here)
