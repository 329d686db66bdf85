"""Rows on their way into a dataset by way of a gate."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioUploadDatasetOperator

WHERE_TO = {
    "appended": {"dataset_id": "{{ params.dataset }}"},
    "new": {"dataset_name": "{{ params.dataset }}"},
}

for dataset, arguments in WHERE_TO.items():
    with DAG(
        f"chaos_{dataset}",
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
            **arguments,
        )
