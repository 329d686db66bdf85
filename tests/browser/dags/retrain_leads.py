"""Trainings with parameters from the run, by the operator and by a subclass of it."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator


class RetrainLeadsOperator(AkkioTrainOperator):
    """Train on the leads with the parameters of the run."""

    def __init__(self, **kwargs):
        parameters = {
            "dataset_id": "YTV32jCdVf5DbcMxzvX5",
            "predict_fields": "{{ params.predict }}",
            "ignore_fields": "{{ params.ignore }}",
        }
        super().__init__(**parameters | kwargs)


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
    RetrainLeadsOperator(task_id="subclass")
