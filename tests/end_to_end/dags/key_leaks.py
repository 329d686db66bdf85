"""Trainings with each outcome. Most connections are named after what their server does with the API key."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor

with DAG("key_leaks", schedule=None, start_date=datetime(2026, 1, 1)):
    submit = AkkioTrainOperator(
        task_id="submit", dataset_id="wine", akkio_conn_id="stored", wait_for_completion=False, priority_weight=9
    )
    AkkioTrainSensor(task_id="sensor", akkio_task_id=submit.output, akkio_conn_id="stored", priority_weight=8)
    AkkioTrainOperator(task_id="deferred", dataset_id="wine", akkio_conn_id="variable")
    AkkioTrainOperator(task_id="blocking", dataset_id="wine", akkio_conn_id="stored", deferrable=False)
    AkkioTrainOperator(task_id="missing_dataset", dataset_id="missing dataset", akkio_conn_id="variable")
    AkkioTrainOperator(task_id="wrong_key", dataset_id="wine", akkio_conn_id="wrong_key")
    AkkioTrainOperator(task_id="resets", dataset_id="D1", force=True, akkio_conn_id="resets")
    AkkioTrainOperator(task_id="redirects", dataset_id="D1", akkio_conn_id="redirects")

    AkkioTrainOperator(task_id="echoes_and_succeeds", dataset_id="D1", akkio_conn_id="echoes_and_succeeds")
    for name in ("echoes_and_breaks", "echoes_and_fails", "echoes_in_status_line", "echoes_in_location"):
        AkkioTrainOperator(task_id=name, dataset_id="D1", force=True, timeout=3, poll_interval=0.5, akkio_conn_id=name)

    @task
    def leak(connection):
        with AkkioHook(connection).get_conn() as session:
            key = session.headers["X-API-Key"]
        print("the key is", key)
        return key

    leak("leaked")
