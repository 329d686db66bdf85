"""Submit a training in one task and wait for it in another, such as one of a later DAG."""

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor

with DAG("akkio_train_and_wait_elsewhere", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    submit = AkkioTrainOperator(
        task_id="submit",
        dataset_id="diabetes",
        predict_fields="progression",
        wait_for_completion=False,
    )

    AkkioTrainSensor(task_id="wait", akkio_task_id=submit.output, timeout=timedelta(hours=2))
