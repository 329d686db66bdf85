"""Predictions beside the rows of a file, by an operator in a real Airflow, with a model that the sandbox trained."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioParameterError,
    AkkioPredictionMismatchError,
    AkkioSourceFileError,
)
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.sandbox import Sandbox
from dev.versions import Part
from tests.airflow_runs import DagRunner, FinishedRun
from tests.chaos.gate import ERROR, Fault, Gate
from tests.scripted import Reply
from tests.versions import needs

ROWS = 12
PREDICTED = ["Probability answer is no", "Probability answer is yes"]
TOO_FEW = Fault(
    "answers with one prediction", lambda _: Reply(body={"status": "success", "predictions": [{"answer": "yes"}]})
)


@pytest.fixture(scope="session")
def model_id(shared_sandbox: Sandbox) -> str:
    """A model that knows that the answer is yes where the number is even."""
    from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
    from airflow_provider_akkio.client.blocking import BlockingClient

    dataset_id = shared_sandbox.datasets.create("parity")
    rows = [{"even": str(number % 2 == 0), "answer": "no" if number % 2 else "yes"} for number in range(100)]
    shared_sandbox.datasets.append(dataset_id, rows)
    with BlockingClient(ClientConfig("akkio_default", BaseUrl(shared_sandbox.url), "sandbox-key")) as client:
        training = client.run(client.api.submit(TrainRequest(dataset_id=dataset_id, predict_fields="answer")))
        client.run(client.api.poll_until_done(training, time.time() + 60, 0.1))
        result = client.run(client.api.result(training.akkio_task_id))
    return result.model_id


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("price,even\n" + "".join(f"{number}.50,{number % 2 == 0}\n" for number in range(ROWS)))
    return path


def predict(run_dag: DagRunner, model_id: str, source: Path, output: Path | str, arguments: str = "") -> FinishedRun:
    return run_dag(
        f'AkkioPredictOperator(task_id="predict", model_id="{model_id}", source={str(source)!r}, '
        f"output={str(output)!r}, batch_size=5, retry_delay=timedelta(0), {arguments})"
    )


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_predictions_stand_beside_the_rows_as_they_were(
    run_dag: DagRunner, gate: Gate, model_id: str, source: Path
) -> None:
    output = source.parent / "deeper" / "out.csv"
    run = predict(run_dag, model_id, source, output)
    assert run.xcoms("predict") == {"return_value": str(output), "output": str(output), "rows": ROWS}
    header, *rows = table(output)
    assert header == ["price", "even", "answer", *PREDICTED]
    assert [row[:2] for row in rows] == table(source)[1:]
    assert [row[2] for row in rows] == ["yes", "no"] * (ROWS // 2)
    assert [len(one.body["data"]) for one in gate.asked("models")] == [5, 5, 2]
    assert [path.name for path in output.parent.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("ending", ["jsonl", "csv.gz", "parquet"])
def test_the_output_has_the_format_of_its_ending(
    run_dag: DagRunner, gate: Gate, model_id: str, source: Path, ending: str
) -> None:
    output = source.with_name(f"out.{ending}")
    assert predict(run_dag, model_id, source, output).state == "success"
    again = source.with_name("again.jsonl")
    assert predict(run_dag, model_id, output, again).state == "success"
    rows = [json.loads(line) for line in again.read_text().splitlines()]
    assert [row["price"] for row in rows] == [number + 0.5 for number in range(ROWS)]
    assert [row["answer"] for row in rows] == [row["answer (predicted)"] for row in rows]


def test_explanations_come_along(run_dag: DagRunner, gate: Gate, model_id: str, source: Path) -> None:
    output = source.with_name("out.jsonl")
    predict(run_dag, model_id, source, output, "explain=True")
    assert set(json.loads(output.read_text().splitlines()[0])["explanation"]) == {"even"}


def test_an_output_that_exists_is_refused_before_anything_is_sent(
    run_dag: DagRunner, gate: Gate, model_id: str, source: Path
) -> None:
    output = source.with_name("out.csv")
    output.write_text("precious")
    failure = predict(run_dag, model_id, source, output).failure
    assert isinstance(failure, AkkioParameterError)
    assert "overwrite=True replaces it" in str(failure)
    assert (output.read_text(), gate.received) == ("precious", [])
    assert predict(run_dag, model_id, source, output, "overwrite=True").state == "success"
    assert len(table(output)) == 1 + ROWS


def test_a_folder_is_no_output(run_dag: DagRunner, gate: Gate, model_id: str, source: Path) -> None:
    output = source.with_name("out.csv")
    output.mkdir()
    failure = predict(run_dag, model_id, source, output, "overwrite=True").failure
    assert "is a folder" in str(failure)
    assert gate.received == []


@needs(Part.TASK_STATE_STORE)
def test_a_later_try_writes_the_output_of_an_earlier_one_anew(
    run_dag: DagRunner, gate: Gate, model_id: str, source: Path
) -> None:
    output = source.with_name("out.csv")
    run = run_dag(
        f"""
        class DiesAtFirst(AkkioPredictOperator):
            def execute(self, context):
                done = super().execute(context)
                if context["ti"].try_number == 1:
                    raise RuntimeError("as if the worker had died")
                return done

        DiesAtFirst(
            task_id="predict", model_id="{model_id}", source={str(source)!r}, output={str(output)!r},
            retries=1, retry_delay=timedelta(0),
        )
        """
    )
    assert (run.state, run.tries("predict")) == ("success", 2)
    assert run.kept() == []
    assert len(table(output)) == 1 + ROWS


def test_more_or_fewer_predictions_than_rows_are_an_error_and_leave_nothing(
    run_dag: DagRunner, gate: Gate, model_id: str, source: Path
) -> None:
    gate.break_down(TOO_FEW, "models", after=1)
    run = predict(run_dag, model_id, source, source.with_name("out.csv"))
    assert isinstance(run.failure, AkkioPredictionMismatchError)
    assert "answered 5 rows with 1 predictions" in str(run.failure)
    assert [path.name for path in source.parent.iterdir()] == ["rows.csv"]


def test_a_blip_is_asked_again(run_dag: DagRunner, gate: Gate, model_id: str, source: Path) -> None:
    gate.break_down(replace(ERROR, seconds=0), "models", after=1)
    assert predict(run_dag, model_id, source, source.with_name("out.csv")).state == "success"
    assert gate.faulty_requests == 1


def test_a_model_that_is_gone_is_named(run_dag: DagRunner, gate: Gate, source: Path) -> None:
    run = predict(run_dag, "gone", source, source.with_name("out.csv"), "retries=2")
    assert isinstance(run.failure, AkkioNotFoundError)
    assert "model 'gone'" in str(run.failure)
    assert run.tries("predict") == 1
    assert [path.name for path in source.parent.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("content", [None, b"", b"a,b\n", b"a,b\n1\n"], ids=["missing", "empty", "header", "ragged"])
def test_a_wrong_source_costs_nothing(
    run_dag: DagRunner, gate: Gate, model_id: str, tmp_path: Path, content: bytes | None
) -> None:
    source = tmp_path / "bad.csv"
    if content is not None:
        source.write_bytes(content)
    failure = predict(run_dag, model_id, source, tmp_path / "out.csv").failure
    assert isinstance(failure, AkkioSourceFileError)
    assert gate.received == []
    assert not (tmp_path / "out.csv").exists()


def test_files_are_named_as_airflows_object_storage_names_them(
    run_dag: DagRunner, gate: Gate, model_id: str, source: Path
) -> None:
    output = source.with_name("out.csv")
    run = run_dag(
        f'AkkioPredictOperator(task_id="predict", model_id="{model_id}", source="file://{source}", '
        f'output="file://{output}")'
    )
    assert run.xcoms("predict")["output"] == f"file://{output}"
    assert len(table(output)) == 1 + ROWS


def test_a_place_that_no_library_reaches_is_named(run_dag: DagRunner, gate: Gate, model_id: str, source: Path) -> None:
    failure = predict(run_dag, model_id, source, "nowhere://x/out.csv").failure
    assert isinstance(failure, AkkioParameterError)
    assert "cannot be reached" in str(failure)


@pytest.mark.parametrize("arguments", ['model_id=""', 'model_id="m", batch_size=0', 'model_id="m", explain="x"'])
def test_wrong_literals_are_refused_when_the_file_is_parsed(run_dag: DagRunner, arguments: str) -> None:
    body = f'AkkioPredictOperator(task_id="predict", source="a.csv", output="b.csv", {arguments})'
    with pytest.raises(AkkioParameterError, match="Task 'predict'"), run_dag.parsed(body):
        pass


def test_the_hook_predicts_too(gate: Gate, model_id: str) -> None:
    [one] = AkkioHook().predict(model_id, [{"even": "True"}])
    assert one["answer"] == "yes"
    assert model_id in [model.id for model in AkkioHook().list_models()]
