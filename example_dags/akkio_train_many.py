"""Train one model for each of several datasets, all at once, and find the best."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

with DAG("akkio_train_many", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    train = AkkioTrainOperator.partial(task_id="train", duration=10).expand_kwargs(
        [
            {"dataset_id": "breast_cancer", "predict_fields": "diagnosis"},
            {"dataset_id": "wine", "predict_fields": "cultivar"},
        ]
    )

    @task
    def best(model_ids, stats):
        worst_f1 = [min(outcome["f1"] for outcome in one[0]) for one in stats]
        return max(zip(worst_f1, model_ids, strict=True))[1]

    best(train.output, train.output["stats"])
