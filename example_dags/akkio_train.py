"""Train a model, wait for it in the triggerer, and use its statistics in the next task.

It is started by hand; ``schedule="@weekly"`` retrains on Sundays.
"""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

with DAG("akkio_train", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    train = AkkioTrainOperator(
        task_id="train",
        dataset_id="YTV32jCdVf5DbcMxzvX5",
        predict_fields="Positive Lead",
    )

    @task
    def report(model_id, stats):
        for outcome in stats[0]:
            print(f"{model_id}: {outcome['class_name']} has F1 {outcome['f1']:.2f} over {outcome['count']} rows")

    report(train.output, train.output["stats"])
