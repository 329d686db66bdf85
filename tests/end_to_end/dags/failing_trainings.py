"""Trainings that fail."""

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

LEADS = "YTV32jCdVf5DbcMxzvX5"

with DAG(
    "failing_trainings",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    default_args={"retries": 1, "retry_delay": timedelta(seconds=1)},
):
    AkkioTrainOperator(task_id="missing_field", dataset_id=LEADS, predict_fields="missing field", retries=0)
    AkkioTrainOperator(task_id="missing_dataset", dataset_id="missing dataset")
    AkkioTrainOperator(task_id="wrong_key", dataset_id=LEADS, akkio_conn_id="akkio_wrong_key")
    AkkioTrainOperator(task_id="invalid_after_rendering", dataset_id=LEADS, duration="{{ 11 }}")
    endless = {"dataset_id": LEADS, "force": True, "akkio_conn_id": "akkio_endless", "retries": 0}
    AkkioTrainOperator(task_id="timeout", timeout=1, **endless)
    AkkioTrainOperator(task_id="execution_timeout", execution_timeout=timedelta(seconds=10), **endless)
