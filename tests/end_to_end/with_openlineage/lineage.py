"""Trainings with OpenLineage events."""

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from airflow_provider_akkio.sensors.akkio import AkkioTrainSensor

with DAG("lineage", schedule=None):
    AkkioTrainOperator(task_id="deferred", dataset_id="{{ 'wi' ~ 'ne' }}")
    AkkioTrainOperator(task_id="blocking", dataset_id="diabetes", deferrable=False)
    AkkioTrainOperator(task_id="failed", dataset_id="no such dataset")
    submit = AkkioTrainOperator(task_id="submit", dataset_id="breast_cancer", wait_for_completion=False)
    AkkioTrainSensor(task_id="sensor", akkio_task_id=submit.output)
