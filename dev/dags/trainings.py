"""One DAG with 200 mapped trainings."""

from datetime import datetime, timedelta
from itertools import combinations, islice

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

FIELDS = [
    "alcohol",
    "ash",
    "hue",
    "magnesium",
    "proline",
    "flavanoids",
    "malic_acid",
    "total_phenols",
]
SUBSETS = (list(fields) for count in range(1, 8) for fields in combinations(FIELDS, count))

with DAG("trainings", schedule=None, start_date=datetime(2026, 1, 1), is_paused_upon_creation=False):
    AkkioTrainOperator.partial(
        task_id="train",
        pool="akkio",
        dataset_id="wine",
        force=True,
        retries=3,
        retry_delay=timedelta(seconds=10),
    ).expand(ignore_fields=list(islice(SUBSETS, 200)))
