from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError, AkkioUploadIncompleteError
from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.transfers._query import Stopper, _fetch, open_query
from airflow_provider_akkio.transfers._temporary import temporary_file
from dev.versions import Part
from tests.airflow_runs import DagRunner, call
from tests.chaos.gate import ERROR, Fault, Gate
from tests.transfers.conftest import DRIVERS, QUERY, ROWS, Upload, Warehouse
from tests.versions import needs

THIRD_BATCH = 2
OLD = [-1] * 3
OUTAGE = replace(ERROR, seconds=0.5, acts=False)

TYPES_OF_POSTGRESQL = """
SELECT 900719925474099312::bigint AS big, 1.10::numeric AS price, 1e22::numeric AS large, 0.1::float8 AS ratio,
    'NaN'::float8 AS nan, true AS yes, '2026-01-02'::date AS day, '2026-01-02 03:04:05.5+02'::timestamptz AS moment,
    '2026-01-02 03:04:05'::timestamp AS local, '007' AS code, '' AS blank, NULL::text AS missing, 'é "\\\n' AS text,
    '4b5e6b4e-8d1c-4d0e-9c5e-0123456789ab'::uuid AS uuid
"""
TEXTS_OF_POSTGRESQL = {
    "big": "900719925474099312",
    "price": "1.10",
    "large": "10000000000000000000000",
    "ratio": "0.1",
    "nan": None,
    "yes": "True",
    "day": "2026-01-02",
    "moment": "2026-01-02T01:04:05.500000+00:00",
    "local": "2026-01-02T03:04:05",
    "code": "007",
    "blank": None,
    "missing": None,
    "text": 'é "\\\n',
    "uuid": "4b5e6b4e-8d1c-4d0e-9c5e-0123456789ab",
}
TYPES_OF_SQLITE = "SELECT 900719925474099312 AS big, 0.1 AS ratio, '1.10' AS version, NULL AS missing, 'é \"' AS text"
TEXTS_OF_SQLITE = {
    "big": "900719925474099312",
    "ratio": "0.1",
    "version": "1.10",
    "missing": None,
    "text": 'é "',
}


@pytest.fixture
def dataset_id(sandbox: Sandbox) -> str:
    """A dataset that already has three rows."""
    dataset_id = sandbox.datasets.create("old")
    sandbox.datasets.append(dataset_id, [{"id": "-1", "zip": "x", "word": "old"}] * len(OLD))
    return dataset_id


@pytest.fixture
def no_request_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_akkio.api.datasets.MAX_RETRIES", 0)


def ids(sandbox: Sandbox, dataset_id: str) -> list[int]:
    return [int(row[0]) for row in sandbox.datasets[dataset_id].rows]


def sent_rows(gate: Gate) -> list[list[dict[str, Any]]]:
    return [request.body["rows"] for request in gate.requests_to("datasets") if request.body and "rows" in request.body]


def test_upload_sends_every_row_once_in_batches(upload: Upload, warehouse: Warehouse, gate: Gate) -> None:
    run = upload(dataset_name="leads of {{ run_id }}", field_types={"word": "category"})
    xcoms = run.xcoms("upload")
    dataset_id = xcoms["return_value"]
    assert xcoms == {"return_value": dataset_id, "dataset_id": dataset_id, "row_count": ROWS}
    assert ids(gate._sandbox, dataset_id) == list(range(ROWS))
    assert [len(rows) for rows in sent_rows(gate)] == [5] * 5
    assert sent_rows(gate)[0][1] == {"id": "1", "zip": "01", "word": "w"}
    assert run.stored_records() == []


def test_upload_gives_each_type_its_text(upload: Upload, warehouse: Warehouse, gate: Gate) -> None:
    sql, texts = (
        (TYPES_OF_POSTGRESQL, TEXTS_OF_POSTGRESQL) if warehouse.is_postgresql else (TYPES_OF_SQLITE, TEXTS_OF_SQLITE)
    )
    if warehouse.is_postgresql:
        [(name,)] = warehouse.rows("SELECT current_database()")
        warehouse.execute(f"ALTER DATABASE {name} SET timezone TO 'UTC'")
    assert upload(sql=sql, dataset_name="typed").state == "success"
    assert sent_rows(gate) == [[texts]]


def test_null_values_apply_to_text_only(upload: Upload, warehouse: Warehouse, gate: Gate) -> None:
    sql = "SELECT 1 AS number, '1' AS text, CAST('NA' AS text) AS other, '2026-01-02' AS day"
    assert upload(sql=sql, dataset_name="nulls", null_values=["1", "NA"]).state == "success"
    assert sent_rows(gate) == [[{"number": "1", "text": None, "other": None, "day": "2026-01-02"}]]


@pytest.mark.parametrize("warehouse", DRIVERS, indirect=True)
def test_postgresql_keeps_the_rows_on_the_server(upload: Upload, warehouse: Warehouse, gate: Gate) -> None:
    assert upload(sql="SELECT name FROM pg_cursors", dataset_name="cursors").state == "success"
    assert sent_rows(gate) == [[{"name": "akkio"}]]


@pytest.mark.parametrize(("text_size", "most_rows"), [(1, 1000), (500_000, 10), (2_000_000, 10)])
def test_fewer_rows_are_fetched_at_once_if_they_are_large(text_size: int, most_rows: int) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
    sql = f"{numbers} SELECT i, substr(hex(zeroblob({text_size})), 1, {text_size}) AS text FROM n LIMIT 1500"
    if text_size > 1:
        sql = sql.replace("1500", "40")
    with closing(sqlite3.connect(":memory:")) as connection:
        fetched = [rows for _, rows in _fetch(connection, sql, None)]
    assert max(map(len, fetched)) == most_rows
    assert [row[0] for rows in fetched for row in rows] == list(range(1, 1501 if text_size == 1 else 41))
    assert max(sum(len(row[1]) for row in rows) for rows in fetched[1:]) <= 4 << 20


def test_upload_reads_a_templated_file_and_passes_parameters(
    run_dag: DagRunner, warehouse: Warehouse, gate: Gate
) -> None:
    placeholder = "%(minimum)s" if warehouse.is_postgresql else ":minimum"
    path = run_dag._folder / "leads.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"SELECT id FROM {{{{ 'le' ~ 'ads' }}}} WHERE id >= {placeholder} ORDER BY id")
    parameters = {"sql": "leads.sql", "sql_conn_id": "warehouse", "parameters": {"minimum": 23}, "dataset_name": "a"}
    run = run_dag(call("SqlToAkkioDatasetOperator", task_id="upload", **parameters))
    assert run.state == "success"
    assert sent_rows(gate) == [[{"id": "23"}, {"id": "24"}]]


@needs(Part.TASK_STATE_STORE)
@pytest.mark.usefixtures("no_request_retries")
def test_task_retry_runs_the_query_again_and_resumes(
    upload: Upload, warehouse: Warehouse, gate: Gate, sandbox: Sandbox, dataset_id: str
) -> None:
    gate.break_down(OUTAGE, "datasets", after=THIRD_BATCH)
    run = upload(dataset_id=dataset_id, retries=5)
    assert run.state == "success"
    assert run.tries("upload") > 1
    assert ids(sandbox, dataset_id) == OLD + list(range(ROWS))


def executing(warehouse: Warehouse, statement: str) -> Fault:
    """Return a fault during which another client changes the database."""

    def answering(gate: Gate) -> Any:
        warehouse.execute(statement)
        return ERROR.answering(gate)

    return Fault("changed table", answering, seconds=0, acts=False)


@needs(Part.TASK_STATE_STORE)
@pytest.mark.usefixtures("no_request_retries")
def test_task_retry_sends_rows_that_were_inserted_after_the_delivered_ones(
    upload: Upload, warehouse: Warehouse, gate: Gate, sandbox: Sandbox, dataset_id: str
) -> None:
    fault = executing(warehouse, f"INSERT INTO leads VALUES ({ROWS}, '0', 'new')")
    gate.break_down(fault, "datasets", after=THIRD_BATCH)
    run = upload(dataset_id=dataset_id, retries=2)
    assert (run.state, run.tries("upload")) == ("success", 2)
    assert run.xcoms("upload")["row_count"] == ROWS + 1
    assert ids(sandbox, dataset_id) == OLD + list(range(ROWS + 1))


@needs(Part.TASK_STATE_STORE)
@pytest.mark.usefixtures("no_request_retries")
def test_task_retry_adds_nothing_if_delivered_rows_changed(
    upload: Upload, warehouse: Warehouse, gate: Gate, sandbox: Sandbox, dataset_id: str
) -> None:
    gate.break_down(executing(warehouse, "DELETE FROM leads WHERE id = 4"), "datasets", after=THIRD_BATCH)
    run = upload(dataset_id=dataset_id, retries=2)
    assert isinstance(run.failures[-1], AkkioUploadIncompleteError)
    assert "Query of connection 'warehouse': the rows or the parameters changed" in str(run.failures[-1])
    assert run.tries("upload") == 2
    assert ids(sandbox, dataset_id) == OLD + list(range(10))


@pytest.mark.parametrize("on_empty", ["fail", "skip"])
def test_upload_of_no_rows_sends_nothing(upload: Upload, warehouse: Warehouse, gate: Gate, on_empty: str) -> None:
    run = upload(sql="SELECT id FROM leads WHERE id < 0", dataset_name="empty", on_empty=on_empty)
    assert run.task_state("upload") == ("skipped" if on_empty == "skip" else "failed")
    assert [type(failure) for failure in run.failures] == ([] if on_empty == "skip" else [AkkioSourceFileError])
    assert gate.received == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 AS a, 2 AS a", "two columns 'a'"),
        ('SELECT 1 AS a, 2 AS " "', "Column 2 of the query has no name"),
        ("SELECT id AS a, zip FROM leads ORDER BY id", "line 3 has '02x' in the field 'zip'"),
    ],
    ids=["two columns with one name", "no name", "text in a number field"],
)
def test_invalid_result_sends_nothing(upload: Upload, warehouse: Warehouse, gate: Gate, sql: str, message: str) -> None:
    warehouse.execute("UPDATE leads SET zip = '02x' WHERE id = 2")
    failure = upload(sql=sql, dataset_name="bad", field_types={"zip": "integer"}).failure
    assert isinstance(failure, AkkioSourceFileError)
    assert message in str(failure)
    assert gate.received == []


def test_unsupported_value_is_reported_with_row_and_column(upload: Upload, warehouse: Warehouse, gate: Gate) -> None:
    value = "'[1]'::json" if warehouse.is_postgresql else "x'00'"
    sql = f"SELECT id, CASE WHEN id = 1 THEN {value} END AS doc FROM leads ORDER BY id"
    failure = upload(sql=sql, dataset_name="bad").failure
    assert isinstance(failure, AkkioSourceFileError)
    assert "row 2, column 'doc'" in str(failure)
    assert "CAST" in str(failure)
    assert gate.received == []


def test_statement_without_rows_fails(upload: Upload, warehouse: Warehouse, gate: Gate) -> None:
    run = upload(sql="CREATE TABLE other (id INTEGER)", dataset_name="bad")
    assert run.state == "failed"
    assert gate.received == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"dataset_name": None},
        {"dataset_id": "b"},
        {"sql": " "},
        {"sql": ["SELECT 1"]},
        {"sql_conn_id": ""},
        {"parameters": "a"},
        {"batch_size": 0},
        {"field_types": {"word": "text"}},
        {"on_empty": "ignore"},
    ],
)
def test_invalid_literals_fail_when_the_dag_is_parsed(run_dag: DagRunner, parameters: dict[str, Any]) -> None:
    defaults = {"task_id": "upload", "sql": QUERY, "sql_conn_id": "warehouse", "dataset_name": "a"}
    code = call("SqlToAkkioDatasetOperator", **(defaults | parameters))
    with pytest.raises(AkkioParameterError, match="Task 'upload'"), run_dag.parsed(code):
        pass


def test_invalid_query_parameters_are_not_repeated_in_the_error(upload: Upload, sqlite: Warehouse, gate: Gate) -> None:
    failure = upload(parameters="{{ 'secret' }}", dataset_name="bad").failure
    assert isinstance(failure, AkkioParameterError)
    assert "secret" not in str(failure)
    assert gate.received == []


def test_query_parameters_may_be_rendered_as_missing(upload: Upload, sqlite: Warehouse) -> None:
    assert upload(parameters="{{ none }}", dataset_name="all").state == "success"


def test_connection_without_a_database_is_rejected(upload: Upload, gate: Gate) -> None:
    failure = upload(sql_conn_id="akkio_default", dataset_name="bad").failure
    assert isinstance(failure, AkkioParameterError)
    assert "sql_conn_id: the hook of connection 'akkio_default', AkkioHook, is not a DbApiHook" in str(failure)


def test_missing_provider_is_named(upload: Upload, sqlite: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.common.sql.hooks.sql", None)
    failure = upload(dataset_name="bad").failure
    assert isinstance(failure, AkkioParameterError)
    assert "airflow-provider-akkio[common-sql]" in str(failure)


def test_temporary_file_has_no_name_while_rows_are_sent(
    upload: Upload, sqlite: Warehouse, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    seen: list[list[Path]] = []

    def answering(gate: Gate) -> Any:
        seen.append(list(folder.iterdir()))
        return ERROR.answering(gate)

    gate.break_down(Fault("look", answering, seconds=0, acts=False), "datasets", after=THIRD_BATCH)
    assert upload(dataset_name="a").state == "success"
    assert seen == [[]]


def test_temporary_file_is_closed_after_an_error() -> None:
    with suppress(RuntimeError), temporary_file("Rows") as file:
        descriptor = file.output.fileno()
        raise RuntimeError
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_temporary_file_can_be_read_twice_at_the_same_time() -> None:
    with temporary_file("Rows") as file:
        file.output.write(b"1\n2\n")
        with file.open("rb") as one, file.open("rb") as another:
            assert [one.readline(), another.readline(), one.readline()] == [b"1\n", b"1\n", b"2\n"]
        assert (file.name, str(file)) == ("rows.jsonl", "Rows")


def test_stopped_task_sends_nothing(run_dag: DagRunner, sqlite: Warehouse, gate: Gate) -> None:
    parameters = {"task_id": "upload", "sql": QUERY, "sql_conn_id": "warehouse", "dataset_name": "stopped"}
    run = run_dag(
        "class StoppedOperator(SqlToAkkioDatasetOperator):\n"
        "    def pre_execute(self, context):\n"
        "        self.on_kill()\n" + call("StoppedOperator", **parameters)
    )
    assert "Airflow stopped the task" in str(run.failure)
    assert gate.received == []


SLOW = {
    "postgresql": "SELECT pg_sleep(300)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS last FROM n",
}


@pytest.fixture
def stopping_repeatedly() -> Iterator[Callable[[Stopper], None]]:
    """Stop a task until its query has ended, because a query can be canceled only while it runs."""
    ended = Event()
    threads: list[Thread] = []

    def stop(stopper: Stopper) -> None:
        def run() -> None:
            while not ended.wait(0.1):
                stopper.stop()

        threads.append(Thread(target=run))
        threads[-1].start()

    yield stop
    ended.set()
    for thread in threads:
        thread.join()


def test_stopping_cancels_a_running_query(
    warehouse: Warehouse, airflow_database: None, stopping_repeatedly: Callable[[Stopper], None]
) -> None:
    values = {
        "sql": SLOW["postgresql" if warehouse.is_postgresql else "sqlite"],
        "sql_conn_id": "warehouse",
        "parameters": None,
        "null_values": ("",),
        "on_empty": "fail",
    }
    stopper = Stopper()
    stopping_repeatedly(stopper)
    with pytest.raises(Exception, match=r"cancel|interrupt"), open_query(values, stopper):
        pass
