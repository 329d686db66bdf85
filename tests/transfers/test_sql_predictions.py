from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_akkio.api.models import ModelApi
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.transfers import _table
from tests.airflow_runs import DagRunner, FinishedRun, RunTask, call
from tests.chaos.gate import Fault, Gate
from tests.scripted import Reply
from tests.transfers.conftest import DRIVERS, OpenWarehouse, Warehouse

ROWS = 12
QUERY = "SELECT id, even FROM numbers ORDER BY id"
ANSWERS = ["yes", "no"] * (ROWS // 2)
TYPED = "CREATE TABLE predictions (id INTEGER, even TEXT, answer TEXT, {} TEXT, {} TEXT, airflow_run TEXT)".format(
    '"Probability answer is no"', '"Probability answer is yes"'
)
OLD_ROW = "INSERT INTO predictions (id, airflow_run) VALUES (-1, 'old')"
REJECTION = Fault("rejection", lambda _: Reply(422, {"status": "rows.0: no such field"}), seconds=0, acts=False)
DYING = """
class DyingOperator(SqlToAkkioPredictionOperator):
    def execute(self, context):
        table = super().execute(context)
        if context["ti"].try_number == 1:
            raise RuntimeError("as if the worker had died")
        return table

"""

Predict = Callable[..., FinishedRun]


@pytest.fixture(autouse=True)
def numbers(request: pytest.FixtureRequest) -> None:
    """The table ``numbers`` in the warehouse of the test."""
    for name in {"warehouse", "sqlite", "postgres"} & set(request.fixturenames):
        warehouse: Warehouse = request.getfixturevalue(name)
        warehouse.execute(
            "CREATE TABLE numbers (id INTEGER, even TEXT)",
            *(f"INSERT INTO numbers VALUES ({number}, '{number % 2 == 0}')" for number in range(ROWS)),
        )


@pytest.fixture
def parameters(model_id: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Predict for the numbers in batches of five rows, and write them in batches of five."""
    monkeypatch.setattr(_table, "_ROWS_PER_INSERT", 5)
    source = {"sql": QUERY, "sql_conn_id": "warehouse"}
    return {"task_id": "predict", **source, "model_id": model_id, "table": "predictions", "batch_size": 5}


@pytest.fixture
def predict(run_task: RunTask, parameters: dict[str, Any]) -> Predict:
    """Run the operator; any parameter can be replaced."""
    return lambda **others: run_task("SqlToAkkioPredictionOperator", **(parameters | others))


def test_predictions_are_written_to_a_new_table(predict: Predict, warehouse: Warehouse, gate: Gate) -> None:
    run = predict()
    assert run.xcoms("predict") == {"return_value": "predictions", "table": "predictions", "row_count": ROWS}
    rows = warehouse.rows("SELECT * FROM predictions ORDER BY CAST(id AS INTEGER)")
    assert [row[:3] for row in rows] == [(str(n), str(n % 2 == 0), ANSWERS[n]) for n in range(ROWS)]
    assert all(isinstance(value, float) for row in rows for value in row[3:5])
    assert {row[5] for row in rows} == {f"{run.dag_run.dag_id}/{run.dag_run.run_id}/predict"}
    sent = [request.body["data"] for request in gate.requests_to("models")]
    assert [len(rows) for rows in sent] == [5, 5, 2]
    assert sent[0][1] == {"id": "1", "even": "False"}


def test_new_table_has_double_precision_for_probabilities(predict: Predict, postgres: Warehouse) -> None:
    postgres.execute("CREATE SCHEMA analytics")
    assert predict(table="analytics.predictions").state == "success"
    types = postgres.rows(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema='analytics'"
    )
    assert dict(types) == {
        "id": "text",
        "even": "text",
        "answer": "text",
        "Probability answer is no": "double precision",
        "Probability answer is yes": "double precision",
        "airflow_run": "character varying",
    }


@pytest.mark.parametrize(
    ("if_exists", "kept"), [("append", [-1]), ("replace", [])], ids=["append keeps", "replace deletes"]
)
def test_rows_of_other_runs(predict: Predict, warehouse: Warehouse, if_exists: str, kept: list[int]) -> None:
    warehouse.execute(TYPED, OLD_ROW)
    assert predict(if_exists=if_exists).state == "success"
    assert warehouse.rows("SELECT id FROM predictions ORDER BY id") == [(n,) for n in [*kept, *range(ROWS)]]


def test_existing_table_is_protected_before_the_first_request(
    predict: Predict, warehouse: Warehouse, gate: Gate
) -> None:
    warehouse.execute(TYPED, OLD_ROW)
    failure = predict().failure
    assert isinstance(failure, AkkioParameterError)
    assert "Table predictions exists" in str(failure)
    assert warehouse.rows("SELECT id FROM predictions") == [(-1,)]
    assert gate.received == []


@pytest.mark.parametrize("if_exists", ["fail", "append", "replace"])
def test_task_retry_after_the_commit_writes_no_row_twice(
    run_dag: DagRunner, warehouse: Warehouse, parameters: dict[str, Any], if_exists: str
) -> None:
    kept = []
    if if_exists == "append":
        warehouse.execute(TYPED, OLD_ROW)
        kept = [-1]
    run = run_dag(DYING + call("DyingOperator", **parameters, if_exists=if_exists, retries=1))
    assert (run.state, run.tries("predict")) == ("success", 2)
    ids = [int(row[0]) for row in warehouse.rows("SELECT id FROM predictions")]
    assert sorted(ids) == [*kept, *range(ROWS)]


@pytest.mark.parametrize("if_exists", ["append", "replace"])
def test_failed_prediction_leaves_the_table_as_it_was(
    predict: Predict, sqlite: Warehouse, gate: Gate, if_exists: str
) -> None:
    sqlite.execute(TYPED, OLD_ROW)
    gate.break_down(REJECTION, "models", after=1)
    assert predict(if_exists=if_exists).state == "failed"
    assert sqlite.rows("SELECT id FROM predictions") == [(-1,)]


def test_failed_prediction_creates_no_table(predict: Predict, sqlite: Warehouse, gate: Gate) -> None:
    gate.break_down(REJECTION, "models", after=1)
    assert predict().state == "failed"
    assert "predictions" not in sqlite.tables()


@pytest.mark.parametrize("if_exists", ["append", "replace"])
def test_failed_insertion_leaves_the_table_as_it_was(predict: Predict, warehouse: Warehouse, if_exists: str) -> None:
    constrained = TYPED.replace("id INTEGER", "id INTEGER CHECK (id < 7)")
    warehouse.execute(constrained, OLD_ROW)
    assert predict(if_exists=if_exists).state == "failed"
    assert warehouse.rows("SELECT id FROM predictions") == [(-1,)]


def test_stopped_task_leaves_no_rows(run_dag: DagRunner, sqlite: Warehouse, parameters: dict[str, Any]) -> None:
    stopped = """
class StoppedOperator(SqlToAkkioPredictionOperator):
    def execute(self, context):
        from unittest.mock import patch
        from airflow_provider_akkio.transfers import sql_predictions
        inspect = sql_predictions.PredictedRows.inspect
        def stop_first(file):
            self.on_kill()
            return inspect(file)
        with patch.object(sql_predictions.PredictedRows, "inspect", stop_first):
            return super().execute(context)

"""
    run = run_dag(stopped + call("StoppedOperator", **parameters))
    assert "Airflow stopped the task" in str(run.failure)
    assert "predictions" not in sqlite.tables() or sqlite.rows("SELECT * FROM predictions") == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [("id INTEGER, airflow_run TEXT", "no column 'even'"), ("id INTEGER, even TEXT", "no column 'airflow_run'")],
)
def test_missing_column_is_reported_before_the_first_request(
    predict: Predict, sqlite: Warehouse, gate: Gate, columns: str, message: str
) -> None:
    sqlite.execute(f"CREATE TABLE predictions ({columns})")
    failure = predict(if_exists="append").failure
    assert isinstance(failure, AkkioParameterError)
    assert message in str(failure)
    assert gate.received == []


def test_columns_of_postgresql_differ_in_case(predict: Predict, postgres: Warehouse, gate: Gate) -> None:
    postgres.execute(TYPED)
    failure = predict(sql='SELECT id, even AS "Even" FROM numbers').failure
    assert isinstance(failure, AkkioParameterError)
    assert "no column 'Even'" in str(failure)
    assert gate.received == []


@pytest.mark.usefixtures("postgres")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sql": 'SELECT id, even, even AS "EVEN" FROM numbers'}, "'even' and 'EVEN' differ only in upper and lower"),
        ({"run_column": "Even"}, "Set run_column to another name"),
    ],
    ids=["two columns", "run column"],
)
def test_names_that_are_equal_in_the_table_are_rejected_before_the_first_request(
    predict: Predict, open_warehouse: OpenWarehouse, gate: Gate, changes: dict[str, str], message: str
) -> None:
    output = open_warehouse("sqlite", "reports")
    failure = predict(output_conn_id="reports", **changes).failure
    assert isinstance(failure, AkkioParameterError)
    assert message in str(failure)
    assert gate.received == []
    assert output.tables() == []
    assert predict(**changes).state == "success"


def test_prediction_with_the_name_of_a_column_is_rejected_after_one_request(
    predict: Predict, sqlite: Warehouse, gate: Gate
) -> None:
    failure = predict(sql="SELECT even, 'old' AS ANSWER FROM numbers").failure
    assert isinstance(failure, AkkioParameterError)
    assert "'ANSWER' and 'answer' differ only in upper and lower case" in str(failure)
    assert len(gate.requests_to("models")) == 1
    assert "predictions" not in sqlite.tables()


def test_columns_of_sqlite_are_equal_in_case(predict: Predict, sqlite: Warehouse) -> None:
    sqlite.execute(TYPED)
    assert predict(sql='SELECT ID, even AS "even" FROM numbers').state == "success"


def test_missing_column_of_the_predictions_is_reported_after_one_request(
    predict: Predict, warehouse: Warehouse, gate: Gate
) -> None:
    warehouse.execute("CREATE TABLE predictions (id INTEGER, even TEXT, answer TEXT, airflow_run TEXT)")
    failure = predict().failure
    assert isinstance(failure, AkkioParameterError)
    assert "no column 'Probability answer is no'" in str(failure)
    assert len(gate.requests_to("models")) == 1


@pytest.mark.parametrize(
    "too_long",
    [
        {"sql": f'SELECT id, even, 1 AS "{"x" * 70}" FROM numbers'},
        {"sql": f'SELECT id, even, 1 AS "{"é" * 32}" FROM numbers'},
        {"run_column": "x" * 64},
        {"table": "x" * 64},
        {"table": f"{'x' * 64}.predictions"},
    ],
    ids=["column", "bytes of a column", "run column", "table", "schema"],
)
def test_name_that_postgresql_would_cut_off_is_rejected_before_the_first_request(
    predict: Predict, sqlite: Warehouse, open_warehouse: OpenWarehouse, gate: Gate, too_long: dict[str, str]
) -> None:
    output = open_warehouse(DRIVERS[0], "reports")
    failure = predict(output_conn_id="reports", **too_long).failure
    assert isinstance(failure, AkkioParameterError)
    assert "64 bytes" in str(failure) or "70 bytes" in str(failure)
    assert "the database allows 63" in str(failure)
    assert gate.received == []
    assert output.tables() == []


def test_name_of_63_bytes_is_written_and_found_again(predict: Predict, postgres: Warehouse) -> None:
    sql = f'SELECT id, even, 1 AS "{"x" * 63}" FROM numbers'
    for _ in range(2):
        assert predict(sql=sql, if_exists="append").state == "success"
    assert postgres.rows("SELECT count(*) FROM predictions") == [(2 * ROWS,)]


def test_long_name_of_a_prediction_is_rejected_after_one_request(
    predict: Predict, postgres: Warehouse, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_rows = ModelApi.predict

    def predict_long_class(*arguments: Any, **options: Any) -> Any:
        return [
            one | {f"Probability answer is {'x' * 60}": 0} for one in (yield from predict_rows(*arguments, **options))
        ]

    monkeypatch.setattr(ModelApi, "predict", predict_long_class)
    failure = predict().failure
    assert isinstance(failure, AkkioParameterError)
    assert "the database allows 63" in str(failure)
    assert len(gate.requests_to("models")) == 1
    assert "predictions" not in postgres.tables()


@pytest.mark.parametrize(
    ("score", "cell"),
    [(2**53, 2.0**53), (123456789012345678, "123456789012345678"), (10**400, f"1{'0' * 400}")],
    ids=["float", "18 digits", "401 digits"],
)
def test_integers_that_are_no_floats_are_written_as_text(
    predict: Predict, warehouse: Warehouse, gate: Gate, score: int, cell: float | str
) -> None:
    gate.script("models", Reply(body={"status": "success", "predictions": [{"score": 0.5}, {"score": score}]}))
    assert predict(sql="SELECT id FROM numbers WHERE id < 2").state == "success"
    half = str(0.5) if isinstance(cell, str) else 0.5
    assert warehouse.rows("SELECT score FROM predictions ORDER BY id") == [(half,), (cell,)]


def test_error_of_the_database_does_not_contain_the_rows(predict: Predict, sqlite: Warehouse) -> None:
    sqlite.execute(TYPED.replace("id INTEGER", "id INTEGER CHECK (id < 7)"))
    message = str(predict(sql="SELECT id, even || 'Secret' AS even FROM numbers").failure)
    assert "CHECK constraint failed" in message
    assert "Secret" not in message


@pytest.mark.parametrize("transforms_only", [False, True])
def test_deployment_predicts(
    predict: Predict, sqlite: Warehouse, gate: Gate, model_id: str, transforms_only: bool
) -> None:
    run = predict(model_id=None, deployment=f"{model_id}/1", transforms_only=transforms_only)
    assert run.state == "success"
    [request, *_] = gate.requests_to("api")
    assert request.body["project_key"] == f"{model_id}/1"
    assert request.body["data"][1] == {"id": "1", "even": "False"}
    assert request.body.get("deploy-transforms-only", False) is transforms_only
    rows = sqlite.rows("SELECT * FROM predictions ORDER BY CAST(id AS INTEGER)")
    predicted = [row[2:-3] for row in rows]
    assert predicted == [() if transforms_only else (answer,) for answer in ANSWERS]


@pytest.mark.parametrize("rendered", [{"model_id": "m"}, {"explain": "True"}])
def test_model_and_deployment_exclude_each_other_after_rendering(
    predict: Predict, sqlite: Warehouse, gate: Gate, rendered: dict[str, str]
) -> None:
    values = {name: f"{{{{ '{value}' }}}}" for name, value in rendered.items()}
    failure = predict(**({"model_id": None, "deployment": "{{ 'm/1' }}"} | values)).failure
    assert isinstance(failure, AkkioParameterError)
    assert gate.received == []


def test_run_column_must_not_be_a_column_of_the_rows(predict: Predict, sqlite: Warehouse, gate: Gate) -> None:
    failure = predict(run_column="even").failure
    assert isinstance(failure, AkkioParameterError)
    assert "Set run_column to another name" in str(failure)
    assert gate.received == []


def test_predicted_column_of_the_source_and_explanations_are_kept(predict: Predict, sqlite: Warehouse) -> None:
    predict(sql="SELECT even, 'old' AS answer FROM numbers", explain=True)
    [(old, new, explanation), *_] = sqlite.rows('SELECT answer, "answer (predicted)", explanation FROM predictions')
    assert (old, new in ("yes", "no")) == ("old", True)
    assert set(json.loads(explanation)) == {"even"}


def test_output_can_be_another_database(predict: Predict, postgres: Warehouse, open_warehouse: OpenWarehouse) -> None:
    output = open_warehouse("sqlite", "reports")
    assert predict(output_conn_id="reports").state == "success"
    assert output.tables() == ["predictions"]
    assert "predictions" not in postgres.tables()


@pytest.mark.parametrize("on_empty", ["fail", "skip"])
def test_query_without_rows_leaves_the_table_as_it_was(predict: Predict, sqlite: Warehouse, on_empty: str) -> None:
    sqlite.execute(TYPED, OLD_ROW)
    run = predict(sql="SELECT id, even FROM numbers WHERE id < 0", if_exists="replace", on_empty=on_empty)
    assert run.task_state("predict") == ("skipped" if on_empty == "skip" else "failed")
    assert [type(failure) for failure in run.failures] == ([] if on_empty == "skip" else [AkkioSourceFileError])
    assert sqlite.rows("SELECT id FROM predictions") == [(-1,)]


def test_mapped_tasks_append_to_one_table(run_dag: DagRunner, sqlite: Warehouse, parameters: dict[str, Any]) -> None:
    del parameters["task_id"]
    fixed = ", ".join(f"{name}={value!r}" for name, value in parameters.items() if name != "sql")
    queries = [QUERY.replace("ORDER", f"WHERE id % 2 = {rest} ORDER") for rest in (0, 1)]
    run = run_dag(
        f'SqlToAkkioPredictionOperator.partial(task_id="predict", if_exists="append", {fixed}).expand(sql={queries})'
    )
    assert run.state == "success"
    assert len(sqlite.rows("SELECT DISTINCT id FROM predictions")) == ROWS
    assert len(sqlite.rows("SELECT DISTINCT airflow_run FROM predictions")) == 2


@pytest.mark.parametrize(
    "invalid",
    [
        {"table": ""},
        {"table": "a."},
        {"if_exists": "truncate"},
        {"run_column": ""},
        {"model_id": ""},
        {"sql": ""},
        {"deployment": "m/1"},
        {"model_id": None},
        {"model_id": None, "deployment": "m"},
        {"transforms_only": True},
        {"model_id": None, "deployment": "m/1", "explain": True},
    ],
)
def test_invalid_literals_fail_when_the_dag_is_parsed(run_dag: DagRunner, invalid: dict[str, Any]) -> None:
    valid = {"task_id": "predict", "sql": QUERY, "sql_conn_id": "warehouse", "model_id": "M", "table": "predictions"}
    code = call("SqlToAkkioPredictionOperator", **(valid | invalid))
    with pytest.raises(AkkioParameterError, match="Task 'predict'"), run_dag.parsed(code):
        pass


def test_database_without_sqlalchemy_support_is_rejected_before_the_query(
    predict: Predict, sqlite: Warehouse, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_uri", lambda _: "unknown://")
    failure = predict().failure
    assert isinstance(failure, AkkioParameterError)
    assert "Cannot write to connection 'warehouse'" in str(failure)
    assert gate.received == []
