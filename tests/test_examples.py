"""Every example DAG succeeds against the sandbox, with both dialects of the API."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_akkio.sandbox import Dialect, Sandbox
from dev.stack import EXAMPLES, akkio_connection
from tests.airflow_runs import DagRunner
from tests.warehouse import create_warehouse


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example_dag_succeeds(
    path: Path, dialect: Dialect, run_dag: DagRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", create_warehouse(tmp_path / "warehouse.db"))
    with Sandbox(key="a-key", dialect=dialect) as sandbox:
        for name, value in akkio_connection(sandbox.url, "a-key").items():
            monkeypatch.setenv(name, value)
        run = run_dag.file(path.read_text(), path.stem, data=EXAMPLES / "rows")
    assert run.failures == []
    assert run.state == "success"
    assert sandbox.submissions >= 1
