"""A training whose runs differ in what they predict, and in what they may look at."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

with DAG(
    "retrain_leads",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"predict": "Positive Lead", "ignore": []},
):
    AkkioTrainOperator(
        task_id="train",
        dataset_id="YTV32jCdVf5DbcMxzvX5",
        predict_fields="{{ params.predict }}",
        ignore_fields="{{ params.ignore }}",
    )
    AkkioTrainOperator(
        task_id="without_a_worker",
        dataset_id="YTV32jCdVf5DbcMxzvX5",
        predict_fields="{{ params.predict }}",
        start_from_trigger=True,
    )

    @task
    def other():
        print("a task that has nothing to do with Akkio")

    other()
