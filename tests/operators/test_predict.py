from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioParameterError,
    AkkioPredictionMismatchError,
    AkkioSourceFileError,
)
from airflow_provider_akkio.hooks.akkio import AkkioHook
from dev.versions import Part
from tests.airflow_runs import DagRunner, FinishedRun, RunTask, call
from tests.chaos.gate import ERROR, Fault, Gate
from tests.scripted import Reply
from tests.versions import needs

ROWS = 12
PREDICTED = ["Probability answer is no", "Probability answer is yes"]
MISMATCH = Fault("one prediction", lambda _: Reply(body={"status": "success", "predictions": [{"answer": "yes"}]}))

Predict = Callable[..., FinishedRun]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("price,even\n" + "".join(f"{number}.50,{number % 2 == 0}\n" for number in range(ROWS)))
    return path


@pytest.fixture
def output(source: Path) -> Path:
    return source.with_name("out.csv")


@pytest.fixture
def predict(run_task: RunTask, gate: Gate, model_id: str, source: Path, output: Path) -> Predict:
    """Run the operator on the source in batches of five rows; any parameter can be replaced."""
    paths = {"source_path": str(source), "output_path": str(output)}
    defaults = {"task_id": "predict", "model_id": model_id, "batch_size": 5, **paths}
    return lambda **parameters: run_task("AkkioPredictOperator", **(defaults | parameters))


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_predict_writes_the_source_columns_unchanged_before_the_predictions(
    predict: Predict, gate: Gate, source: Path
) -> None:
    output = source.parent / "deeper" / "out.csv"
    run = predict(output_path=str(output))
    assert run.xcoms("predict") == {"return_value": str(output), "output_path": str(output), "row_count": ROWS}
    header, *rows = cells(output)
    assert header == ["price", "even", "answer", *PREDICTED]
    assert [row[:2] for row in rows] == cells(source)[1:]
    assert [row[2] for row in rows] == ["yes", "no"] * (ROWS // 2)
    sent = [request.body["data"] for request in gate.requests_to("models")]
    assert [len(rows) for rows in sent] == [5, 5, 2]
    assert sent[0][1] == {"price": "1.50", "even": "False"}
    assert [path.name for path in output.parent.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("extension", ["jsonl", "csv.gz", "parquet"])
def test_predict_writes_the_format_of_the_output_extension(predict: Predict, source: Path, extension: str) -> None:
    output = source.with_name(f"out.{extension}")
    assert predict(output_path=str(output)).state == "success"
    again = source.with_name("again.jsonl")
    assert predict(source_path=str(output), output_path=str(again)).state == "success"
    rows = [json.loads(line) for line in again.read_text().splitlines()]
    assert [float(row["price"]) for row in rows] == [number + 0.5 for number in range(ROWS)]
    assert [row["answer"] for row in rows] == [row["answer (predicted)"] for row in rows]


@pytest.mark.parametrize("transforms_only", [False, True])
def test_predict_by_a_deployment(
    predict: Predict, gate: Gate, model_id: str, output: Path, transforms_only: bool
) -> None:
    deployment = f"{model_id}/1"
    assert predict(model_id=None, deployment=deployment, transforms_only=transforms_only).state == "success"
    header, *rows = cells(output)
    assert header == ["price", "even", *([] if transforms_only else ["answer", *PREDICTED])]
    assert [row[0] for row in rows] == [f"{number}.50" for number in range(ROWS)]
    assert {request.body["project_key"] for request in gate.requests_to("api")} == {deployment}


def test_predict_writes_explanations(predict: Predict, source: Path) -> None:
    output = source.with_name("out.jsonl")
    predict(output_path=str(output), explain=True)
    assert set(json.loads(output.read_text().splitlines()[0])["explanation"]) == {"even"}


def test_predict_replaces_an_existing_output_only_with_overwrite(predict: Predict, gate: Gate, output: Path) -> None:
    output.write_text("precious")
    failure = predict().failure
    assert isinstance(failure, AkkioParameterError)
    assert "overwrite=True" in str(failure)
    assert (output.read_text(), gate.received) == ("precious", [])
    assert predict(overwrite=True).state == "success"
    assert len(cells(output)) == 1 + ROWS


def test_predict_does_not_replace_a_folder(predict: Predict, gate: Gate, output: Path) -> None:
    output.mkdir()
    assert "is a folder" in str(predict(overwrite=True).failure)
    assert gate.received == []


@needs(Part.TASK_STATE_STORE)
def test_task_retry_replaces_the_output_of_the_previous_attempt(
    run_dag: DagRunner, gate: Gate, model_id: str, source: Path, output: Path
) -> None:
    paths = {"source_path": str(source), "output_path": str(output)}
    run = run_dag(
        """
        class DyingOperator(AkkioPredictOperator):
            def execute(self, context):
                path = super().execute(context)
                if context["ti"].try_number == 1:
                    raise RuntimeError("as if the worker had died")
                return path

        """
        + call("DyingOperator", task_id="predict", model_id=model_id, retries=1, **paths)
    )
    assert (run.state, run.tries("predict")) == ("success", 2)
    assert run.stored_records() == []
    assert len(cells(output)) == 1 + ROWS


def test_stopped_predict_writes_nothing(run_dag: DagRunner, gate: Gate, source: Path, output: Path) -> None:
    paths = {"source_path": str(source), "output_path": str(output)}
    run = run_dag(
        """
        class StoppedOperator(AkkioPredictOperator):
            def pre_execute(self, context):
                self.on_kill()

        """
        + call("StoppedOperator", task_id="predict", model_id="m", **paths)
    )
    assert "stopped the task" in str(run.failure)
    assert gate.received == []
    assert [path.name for path in source.parent.iterdir()] == ["rows.csv"]


def test_predict_rejects_a_wrong_number_of_predictions_and_writes_nothing(
    predict: Predict, gate: Gate, source: Path
) -> None:
    gate.break_down(MISMATCH, "models", after=1)
    assert isinstance(predict().failure, AkkioPredictionMismatchError)
    assert [path.name for path in source.parent.iterdir()] == ["rows.csv"]


def test_predict_retries_a_request_after_500(predict: Predict, gate: Gate) -> None:
    gate.break_down(replace(ERROR, seconds=0), "models", after=1)
    assert predict().state == "success"
    assert gate.faulty_requests == 1


def test_predict_with_an_unknown_model_is_not_retried(predict: Predict, source: Path) -> None:
    run = predict(model_id="gone", retries=2)
    assert isinstance(run.failure, AkkioNotFoundError)
    assert "'gone'" in str(run.failure)
    assert run.tries("predict") == 1
    assert [path.name for path in source.parent.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("content", [None, b"a,b\n", b"a,b\n1\n"], ids=["missing", "header only", "ragged"])
def test_predict_with_an_invalid_source_sends_and_writes_nothing(
    predict: Predict, gate: Gate, source: Path, output: Path, content: bytes | None
) -> None:
    source.unlink()
    if content is not None:
        source.write_bytes(content)
    assert isinstance(predict().failure, AkkioSourceFileError)
    assert gate.received == []
    assert not output.exists()


def test_predict_accepts_object_storage_urls(predict: Predict, source: Path, output: Path) -> None:
    run = predict(source_path=f"file://{source}", output_path=f"file://{output}")
    assert run.xcoms("predict")["output_path"] == f"file://{output}"
    assert len(cells(output)) == 1 + ROWS


@pytest.mark.parametrize("output_path", ["nowhere://x/out.csv", "{{ '/folder/out' }}.xlsx"])
def test_predict_rejects_an_output_that_it_cannot_write(predict: Predict, gate: Gate, output_path: str) -> None:
    failure = predict(output_path=output_path).failure
    assert isinstance(failure, AkkioParameterError)
    assert "out" in str(failure)
    assert gate.received == []


def test_predict_sends_and_writes_the_selected_columns(
    predict: Predict, gate: Gate, source: Path, output: Path
) -> None:
    content = source.read_text().replace("price,", "price|").replace(".50,", ".50|").replace("True", "NA")
    source.write_text(content)
    assert predict(delimiter="|", exclude_columns=["price"], null_values="NA").state == "success"
    assert {row["even"] for request in gate.requests_to("models") for row in request.body["data"]} == {"False", None}
    assert cells(output)[0] == ["even", "answer", *PREDICTED]


def test_predict_for_a_file_without_rows_is_skipped_on_request(
    predict: Predict, gate: Gate, source: Path, output: Path
) -> None:
    source.write_text("price,even\n")
    assert predict(on_empty="skip").task_state("predict") == "skipped"
    assert gate.received == []
    assert not output.exists()


@pytest.mark.parametrize(
    "parameters",
    [
        {"model_id": ""},
        {"batch_size": 0},
        {"explain": "x"},
        {"overwrite": 1},
        {"source_path": "a.txt"},
        {"output_path": "b.json"},
        {"output_path": "b.xlsx"},
        {"columns": []},
        {"encoding": "utf-9"},
        {"on_empty": True},
    ],
)
def test_predict_rejects_invalid_literals_when_the_dag_is_parsed(
    run_dag: DagRunner, parameters: dict[str, Any]
) -> None:
    paths = {"source_path": "a.csv", "output_path": "b.csv"}
    code = call("AkkioPredictOperator", **({"task_id": "predict", "model_id": "m", **paths} | parameters))
    with pytest.raises(AkkioParameterError, match="Task 'predict'"), run_dag.parsed(code):
        pass


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"deployment": "m/1"}, "either model_id or deployment"),
        ({"model_id": None}, "either model_id or deployment"),
        ({"model_id": None, "deployment": "m"}, "deployment must be an ID and a version"),
        ({"model_id": None, "deployment": "m/1", "explain": True}, "explain requires model_id"),
        ({"transforms_only": True}, "transforms_only requires deployment"),
    ],
)
def test_predict_requires_either_a_model_or_a_deployment(
    run_dag: DagRunner, parameters: dict[str, Any], message: str
) -> None:
    paths = {"source_path": "a.csv", "output_path": "b.csv"}
    code = call("AkkioPredictOperator", **({"task_id": "predict", "model_id": "m", **paths} | parameters))
    with pytest.raises(AkkioParameterError, match=message), run_dag.parsed(code):
        pass


def test_hook_predicts_by_a_deployment(gate: Gate, model_id: str) -> None:
    [prediction] = AkkioHook().predict_deployed(f"{model_id}/1", [{"even": True}])
    assert prediction["answer"] == "yes"


def test_hook_predicts_and_lists_models(gate: Gate, model_id: str) -> None:
    [prediction] = AkkioHook().predict(model_id, [{"even": True}])
    assert prediction["answer"] == "yes"
    assert model_id in [model.id for model in AkkioHook().list_models()]
