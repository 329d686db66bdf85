"""One deferrable training."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

with DAG("workers", schedule=None, start_date=datetime(2026, 1, 1)):
    AkkioTrainOperator(task_id="by_workers", dataset_id="wine", force=True)
