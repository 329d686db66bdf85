from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, BaseOperator

from airflow_provider_akkio.operators import akkio as operators
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor
from airflow_provider_akkio.transfers.sql_predictions import SqlToAkkioPredictionOperator
from airflow_provider_akkio.transfers.sql_to_akkio import SqlToAkkioDatasetOperator
from tests.airflow_runs import Code, DagRunner, call
from tests.scripted import Reply, Responder, ScriptedAkkio, accepted, chat, result, status

OPERATORS = [
    *(getattr(operators, name) for name in operators.__all__),
    AkkioTrainSensor,
    SqlToAkkioDatasetOperator,
    SqlToAkkioPredictionOperator,
]
TRAINING = {"new": [accepted()], "status": [status("SUCCEEDED")], "result": [result("M1")]}
SUCCESS = {"status": "success"}
QUERY = "SELECT '1' AS a"


def dataset(row_count: int) -> Reply:
    return Reply(body={**SUCCESS, "name": "d", "rows": row_count, "fields": []})


@dataclass(frozen=True)
class Example:
    """A task of an operator, and the responses of Akkio that let it succeed."""

    parameters: dict[str, Any]
    responses: dict[str, list[Responder]] = field(default_factory=dict)


EXAMPLES = {
    "AkkioChatExploreOperator": Example(
        {"dataset_id": "D", "prompt": "How many rows?", "deferrable": False},
        {
            "new": [accepted()],
            "T1": [status("SUCCEEDED", location="/chat-explore/chats/C1")],
            "C1": [chat(("user", "How many rows?"), ("assistant", "Two."))],
        },
    ),
    "AkkioTrainOperator": Example({"dataset_id": "D", "deferrable": False}, TRAINING),
    "AkkioTrainSensor": Example({"akkio_task_id": "T1", "deferrable": False}, TRAINING),
    "AkkioUploadDatasetOperator": Example(
        {"source_path": "rows.csv", "dataset_id": "D"}, {"datasets": [dataset(0), Reply(body=SUCCESS), dataset(1)]}
    ),
    "AkkioPredictOperator": Example(
        {"model_id": "M", "source_path": "rows.csv", "output_path": "out.csv"},
        {"models": [Reply(body={**SUCCESS, "predictions": [{"b": "2"}]})]},
    ),
    "AkkioPromoteModelOperator": Example(
        {"model_id": "M", "stats": [[{"field_name": "b", "f1": 0.5}]], "asset": Code('Asset("akkio://conventions")')}
    ),
    "SqlToAkkioDatasetOperator": Example(
        {"sql": QUERY, "sql_conn_id": "warehouse", "dataset_id": "D"},
        {"datasets": [dataset(0), Reply(body=SUCCESS), dataset(1)]},
    ),
    "SqlToAkkioPredictionOperator": Example(
        {"sql": QUERY, "sql_conn_id": "warehouse", "model_id": "M", "table": "predictions"},
        {"models": [Reply(body={**SUCCESS, "predictions": [{"b": "2"}]})]},
    ),
    "AkkioDeleteDatasetOperator": Example({"dataset_id": "D"}, {"datasets": [Reply(body=SUCCESS)]}),
    "AkkioDeleteModelOperator": Example({"model_id": "M"}, {"models": [Reply(body=SUCCESS)]}),
}

every_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)


@pytest.fixture
def parameters(
    operator: type[BaseOperator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connected: ScriptedAkkio
) -> dict[str, Any]:
    """The parameters of the example; Akkio gives its responses, and its files are in the working directory."""
    example = EXAMPLES[operator.__name__]
    (tmp_path / "rows.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", '{"conn_type": "sqlite", "host": "warehouse.db"}')
    for endpoint, responses in example.responses.items():
        connected.script(endpoint, *responses)
    return {"task_id": "example", **example.parameters}


@every_operator
def test_template_fields_are_constructor_parameters_and_attributes(operator: type[BaseOperator]) -> None:
    example = EXAMPLES[operator.__name__].parameters
    literals = {name: Asset("akkio://a") if name == "asset" else value for name, value in example.items()}
    task = operator(task_id="example", **literals)
    constructor_parameters = inspect.signature(operator.__init__).parameters
    assert operator.template_fields
    for name in operator.template_fields:
        assert name in constructor_parameters
        assert hasattr(task, name)
    for name, value in literals.items():
        assert getattr(task, name) == value


@every_operator
def test_subclass_with_a_template_field_and_an_overridden_execute_works(
    run_dag: DagRunner, operator: type[BaseOperator], parameters: dict[str, Any]
) -> None:
    run = run_dag(
        f"""
        class ExtendedOperator({operator.__name__}):
            template_fields = (*{operator.__name__}.template_fields, "note")

            def __init__(self, *, note, **kwargs):
                super().__init__(**kwargs)
                self.note = note

            def execute(self, context):
                value = super().execute(context)
                context["ti"].xcom_push(key="note", value=self.note)
                return value

        """
        + call("ExtendedOperator", note="{{ 'ren' ~ 'dered' }}", **parameters)
    )
    assert run.state == "success"
    assert run.xcoms("example")["note"] == "rendered"
