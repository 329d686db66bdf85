"""The same training with two worker processes, with one, and with none."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

with DAG("workers", schedule=None, start_date=datetime(2026, 1, 1)):
    AkkioTrainOperator(task_id="by_workers", dataset_id="wine", force=True)
    AkkioTrainOperator(task_id="ended_by_trigger", dataset_id="wine", force=True, end_from_trigger=True)
    AkkioTrainOperator(task_id="started_by_trigger", dataset_id="wine", force=True, start_from_trigger=True)
