"""Many trainings at once: mapped, with their beginnings and ends in workers; and without workers."""

from datetime import datetime, timedelta
from itertools import combinations, islice
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

FIELDS = (
    "alcohol",
    "ash",
    "hue",
    "magnesium",
    "proline",
    "flavanoids",
    "malic_acid",
    "color_intensity",
    "total_phenols",
)
DISTINCT = [list(fields) for count in range(1, 8) for fields in combinations(FIELDS, count)]
EVERY_TIME: dict[str, Any] = {
    "dataset_id": "wine",
    "force": True,
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
}
ALWAYS: dict[str, Any] = {"schedule": None, "start_date": datetime(2026, 1, 1), "is_paused_upon_creation": False}

with DAG("by_workers", **ALWAYS):
    AkkioTrainOperator.partial(task_id="train", pool="akkio", **EVERY_TIME).expand(ignore_fields=DISTINCT[:200])

with DAG("by_triggerers", **ALWAYS):
    for number, fields in enumerate(islice(DISTINCT, 200, 220)):
        AkkioTrainOperator(task_id=f"train_{number}", start_from_trigger=True, ignore_fields=fields, **EVERY_TIME)
