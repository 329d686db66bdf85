"""Execute the code blocks of the documentation."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.sandbox import Sandbox
from dev.processes import wait_until
from dev.stack import EXAMPLES, PROJECT, akkio_connection
from tests.airflow_runs import DagRunner
from tests.documentation.blocks import PAGES, Block, broken_links, code_blocks
from tests.warehouse import create_warehouse

DAG_FILES = [block for block in code_blocks("python") if "import os" not in block.text]
[SANDBOX_TEST] = code_blocks("python", "import os\n")
ENVIRONMENT_VARIABLES = code_blocks("bash", "export AIRFLOW_CONN_AKKIO_DEFAULT=")
COMMANDS = code_blocks("bash", "airflow connections add")
[SANDBOX_COMMAND] = code_blocks("bash", "python -m airflow_provider_akkio.sandbox")

DATASET_ID = "YTV32jCdVf5DbcMxzvX5"
OTHER_DATASET_ID = "WGpTdCrBaXbNXpXBzLEQ"
PLACEHOLDER_ID = "IjxkjuPLomB1fVLYzWNm"
EVENT_TEMPLATE = "{{ (triggering_asset_events.values() | first | last).extra.model_id }}"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def training(sandbox: Sandbox) -> tuple[str, str]:
    """The Akkio task ID and the model ID of a finished training."""
    url = f"{sandbox.url}/api/v1/models/train"
    request = {"dataset_id": DATASET_ID, "predict_fields": ["Positive Lead"]}
    with requests.Session() as session:
        session.headers["X-API-Key"] = "sandbox-key"
        task_id = session.post(f"{url}/new", json=request, timeout=120).json()["task_id"]
        wait_until(
            lambda: session.get(f"{url}/{task_id}/status", timeout=120).json()["status"] == "SUCCEEDED",
            "the training",
            300,
        )
        return task_id, session.get(f"{url}/{task_id}/result", timeout=120).json()["model_id"]


@pytest.fixture
def connected_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox as the target of the connection ``akkio_default``."""
    for name, value in akkio_connection(sandbox.url, "sandbox-key").items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("connected_sandbox")
@pytest.mark.parametrize("block", DAG_FILES, ids=lambda block: block.name)
def test_dag_file_succeeds(
    block: Block,
    training: tuple[str, str],
    run_dag: DagRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", create_warehouse(tmp_path / "warehouse.db"))
    for name in ("leads.csv", "new_leads.csv"):
        shutil.copy(EXAMPLES / "rows" / name, tmp_path)
    shutil.copy(EXAMPLES / "rows" / "new_leads.csv", tmp_path / "new.csv")
    akkio_task_id, model_id = training
    source = (
        block.text.replace("/data", str(tmp_path))
        .replace(OTHER_DATASET_ID, "wine")
        .replace('pool="akkio"', 'pool="default_pool"')
    )
    source = source.replace(f'akkio_task_id="{PLACEHOLDER_ID}"', f'akkio_task_id="{akkio_task_id}"')
    if "Delete" in source:  # the other blocks need the model and the dataset
        source = source.replace(DATASET_ID, PLACEHOLDER_ID)
    else:
        source = source.replace(EVENT_TEMPLATE, model_id).replace(PLACEHOLDER_ID, model_id)
    source = re.sub(r"^(with DAG\(.*\)):$", r"\1 as dag:", source, count=1, flags=re.MULTILINE)
    [dag_id] = re.findall(r'DAG\(\s*"(\w+)"', source)
    run = run_dag.file(f"{source}\nfirst_task = dag.tasks[0]\n", dag_id)
    assert run.failures == []
    assert run.state == "success"


def test_sandbox_test_passes(airflow_database: None, tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    # This process may hold a lock. Copied as a file, the database would lack the transactions of its write-ahead log.
    with (
        closing(sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")) as original,
        closing(sqlite3.connect(database)) as copy,
    ):
        original.backup(copy)
    path = tmp_path / "dags" / "my_dag.py"
    path.parent.mkdir()
    path.write_text(SANDBOX_TEST.text)
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(path.parent),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}?timeout=120",
    }
    done = subprocess.run(
        [sys.executable, path], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("block", ENVIRONMENT_VARIABLES, ids=lambda block: block.name)
def test_environment_variable_defines_connection(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = shlex.split(block.text)[1].split("=", 1)
    monkeypatch.setenv(name, value)
    config = AkkioHook().get_client_config()
    assert (config.api_key, config.base_url.origin, config.timeout) == ("your-api-key", "https://api.akkio.com", 30)


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.name)
def test_command_adds_connection(block: Block, airflow_database: None) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    arguments = shlex.split(block.text)[1:]
    subprocess.run([Path(sys.executable).with_name("airflow"), *arguments], check=True, timeout=600)
    with create_session() as session:
        stored = session.query(Connection).filter_by(conn_id=arguments[2]).one()
        assert (stored.conn_type, stored.password) == ("akkio", "your-api-key")
        assert stored.extra_dejson
        session.delete(stored)


def test_sandbox_command_starts_server() -> None:
    command = shlex.split(SANDBOX_COMMAND.text.replace("8765", "0"))
    with subprocess.Popen([sys.executable, *command[1:]], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert "http://127.0.0.1:" in "".join(program.stdout.readline() for _ in range(2))
        finally:
            program.terminate()
        assert program.wait(300) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert broken_links(page) == []
