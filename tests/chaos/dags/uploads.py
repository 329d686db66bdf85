"""An upload through a gate, to an existing dataset or to a new one."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioUploadDatasetOperator

TARGETS = {
    "appended": {"dataset_id": "{{ params.dataset }}"},
    "new": {"dataset_name": "{{ params.dataset }}"},
}

for name, target in TARGETS.items():
    with DAG(
        f"chaos_{name}",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        max_active_runs=64,
        params={"gate": "", "source": "", "dataset": ""},
    ):
        AkkioUploadDatasetOperator(
            task_id="upload",
            source_path="{{ params.source }}",
            batch_size=100,
            akkio_conn_id="{{ params.gate }}",
            retries=5,
            retry_delay=timedelta(seconds=2),
            **target,
        )
