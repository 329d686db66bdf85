"""What the README says is so: every code block is run, every table is held against the code."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio import exceptions
from airflow_provider_akkio.exceptions import AkkioError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators.akkio import (
    AkkioPredictOperator,
    AkkioPromoteModelOperator,
    AkkioTrainOperator,
    AkkioUploadDatasetOperator,
)
from airflow_provider_akkio.sandbox import Sandbox
from dev.stack import EXAMPLES, PROJECT
from dev.versions import Part
from tests.airflow_runs import DagRunner
from tests.documentation.blocks import README, block, blocks, broken_links, table_column
from tests.scripted import ScriptedAkkio, accepted, result, status

FIRST = "from datetime import datetime\n\nfrom airflow.providers.common.compat.sdk import DAG, task"
LOOP = "from datetime import datetime\n\nfrom airflow.providers.common.compat.sdk import DAG, Asset"
RUN_HERE = {
    FIRST,
    "from airflow.providers.common.compat.sdk import DAG\n",
    LOOP,
    "pip install airflow-provider-akkio",
    "pip install 'airflow-provider-akkio[sandbox]'",
    "export AIRFLOW_CONN_AKKIO_DEFAULT='akkio://",
    "export AIRFLOW_CONN_AKKIO_DEFAULT='{",
    "airflow connections add",
    "import os",
    "python -m airflow_provider_akkio.sandbox",
    "python -m airflow_provider_akkio.report",
}
RUN_ELSEWHERE = {
    "make demo",  # tests/repository/test_demo.py
    "make test",  # what runs this
}


def account_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, float]:
    monkeypatch.delenv("AIRFLOW_CONN_AKKIO_DEFAULT", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    account = AkkioHook().get_client_config()
    return account.key, account.site.api_root, account.timeout


THE_ACCOUNT = ("your-api-key", "https://api.akkio.com/api/v1", 30.0)


def test_every_block_is_run() -> None:
    code = [one.text for one in blocks() if one.language != "text"]
    unknown = [text for text in code if not text.startswith(tuple(RUN_HERE | RUN_ELSEWHERE))]
    assert unknown == []
    assert len(code) == len(RUN_HERE) + len(RUN_ELSEWHERE)


def test_the_first_example_trains_a_model(run_dag: DagRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    source = block(FIRST)
    assert len(source.splitlines()) <= 17
    with Sandbox() as sandbox:
        host = sandbox.url.removeprefix("http://")
        monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", f"akkio://:sandbox-key@{host}/http")
        run = run_dag.file(source, "retrain_leads")
    assert run.state == "success"
    assert len(run.xcoms("train")["stats"][0]) == 2


def test_the_example_without_a_worker_starts_in_the_triggerer(run_dag: DagRunner, connected: ScriptedAkkio) -> None:
    connected.script("new", accepted())
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result())
    run = run_dag.file(block("from airflow.providers.common.compat.sdk import DAG\n"), "retrain_without_a_worker")
    assert run.dag_run.dag.get_task("train").start_from_trigger is Part.ENDS_IN_TRIGGERER.is_here
    assert run.xcoms("train")["return_value"] == "M1"


def test_the_example_with_the_sandbox_is_a_passing_test(airflow_database: None) -> None:
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    folder.mkdir(exist_ok=True)
    path = folder / "my_dag.py"
    path.write_text(block("import os"))
    try:
        done = subprocess.run([sys.executable, path], cwd=PROJECT, capture_output=True, text=True, check=False)
    finally:
        path.unlink()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "beginning", ["export AIRFLOW_CONN_AKKIO_DEFAULT='akkio://", "export AIRFLOW_CONN_AKKIO_DEFAULT='{"]
)
def test_each_environment_variable_defines_the_connection(beginning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [name, value] = shlex.split(block(beginning))[1].split("=", 1)
    assert account_of({name: value}, monkeypatch) == THE_ACCOUNT


def test_the_command_defines_the_connection(airflow_database: None) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    airflow = Path(sys.executable).parent / "airflow"
    subprocess.run([airflow, *shlex.split(block("airflow connections add"))[1:]], check=True, timeout=120)
    with create_session() as session:
        stored = session.query(Connection).filter_by(conn_id="akkio_default").one()
        assert (stored.conn_type, stored.password, stored.extra_dejson) == ("akkio", "your-api-key", {"timeout": 30})
        session.delete(stored)


def test_the_sandbox_serves_from_the_command_line() -> None:
    command = shlex.split(block("python -m airflow_provider_akkio.sandbox").replace("8765", "0"))
    with subprocess.Popen([sys.executable, *command[1:]], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert "http://127.0.0.1:" in "".join(program.stdout.readline() for _ in range(2))
        finally:
            program.terminate()
        assert program.wait(60) == 0


def test_the_command_makes_a_page_of_a_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result().body))
    command = block("python -m airflow_provider_akkio.report").replace("python", sys.executable, 1)
    subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True, timeout=60)
    assert "M1" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("operator", "heading", "column"),
    [
        (AkkioTrainOperator, "## `AkkioTrainOperator`", 2),
        (AkkioUploadDatasetOperator, "#### `AkkioUploadDatasetOperator`", 1),
        (AkkioPromoteModelOperator, "#### `AkkioPromoteModelOperator`", 1),
        (AkkioPredictOperator, "#### `AkkioPredictOperator`", 1),
    ],
)
def test_the_table_of_parameters_is_the_operators(operator: Any, heading: str, column: int) -> None:
    signature = inspect.signature(getattr(operator, "__wrapped__", operator))
    described = dict(zip(table_column(heading, 0), table_column(heading, column), strict=True))
    actual = {
        name: "required"
        if parameter.default is parameter.empty
        else repr(parameter.default).replace("'", '"').removesuffix(".0")
        for name, parameter in signature.parameters.items()
        if name != "kwargs"
    }
    assert described == actual


def test_the_first_parameters_are_templates() -> None:
    described = table_column("## `AkkioTrainOperator`", 0)
    assert described[: len(AkkioTrainOperator.template_fields)] == list(AkkioTrainOperator.template_fields)


def test_the_loop_ends_with_predictions_of_the_promoted_model(
    run_dag: DagRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("leads.csv", "new_leads.csv"):
        shutil.copy(EXAMPLES / "rows" / name, tmp_path)
    source = block(LOOP).replace("/data", str(tmp_path))
    with Sandbox() as sandbox:
        host = sandbox.url.removeprefix("http://")
        monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", f"akkio://:sandbox-key@{host}/http")
        run = run_dag.file(source, "retrain_leads_weekly")
        assert run.state == "success"
        template = "{{ (triggering_asset_events.values() | first | last).extra.model_id }}"
        assert template in source
        promoted = run.xcoms("promote")["return_value"]
        run = run_dag.file(source.replace(template, promoted), "predict_leads")
    assert run.xcoms("predict")["rows"] == 40
    assert "Probability Positive Lead is 1" in Path(run.xcoms("predict")["output"]).read_text().splitlines()[0]


def test_the_table_of_errors_is_the_tree() -> None:
    tree = {
        name: error
        for name, error in vars(exceptions).items()
        if isinstance(error, type) and issubclass(error, AkkioError) and error is not AkkioError
    }
    described = dict(zip(table_column("### When it fails", 0), table_column("### When it fails", 2), strict=True))
    assert described == {
        name: "no" if issubclass(error, exceptions.AirflowFailException) else "yes" for name, error in tree.items()
    }


def test_the_files_and_headings_that_it_links_are_there() -> None:
    assert broken_links(README) == []
