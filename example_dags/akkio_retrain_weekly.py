"""The whole loop: upload rows, train a model, promote it if it is better, and predict with the promoted model.

The first DAG ends with an event of the asset that stands for the model in use, unless the new model is not better. The
second DAG is scheduled by that event, and reads the model ID from it. The first is started by hand;
``schedule="@weekly"`` retrains on Sundays.
"""

import os
from datetime import datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Asset

from airflow_provider_akkio.operators.akkio import (
    AkkioPredictOperator,
    AkkioPromoteModelOperator,
    AkkioTrainOperator,
    AkkioUploadDatasetOperator,
)

ROWS = Path(__file__).parent / "rows"
PREDICTIONS = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "predictions"

leads_model = Asset("akkio://models/leads")

with DAG(
    "akkio_retrain_weekly",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={"source": str(ROWS / "leads.csv")},
):
    upload = AkkioUploadDatasetOperator(
        task_id="upload",
        source_path="{{ params.source }}",
        dataset_name="Leads, {{ run_id }}",
        field_types={"Positive Lead": "category"},
    )
    train = AkkioTrainOperator(task_id="train", dataset_id=upload.output, predict_fields="Positive Lead")
    promote = AkkioPromoteModelOperator(
        task_id="promote",
        model_id=train.output,
        stats=train.output["stats"],
        metric="f1",
        class_name="1",
        asset=leads_model,
    )

# In Airflow 2, assets are called datasets.
EVENTS = "triggering_asset_events | default(triggering_dataset_events)"

with DAG("akkio_predict_leads", schedule=[leads_model], start_date=datetime(2026, 1, 1), catchup=False):
    predict = AkkioPredictOperator(
        task_id="predict",
        model_id=f"{{{{ (({EVENTS}).values() | first | last).extra.model_id }}}}",
        source_path=str(ROWS / "new_leads.csv"),
        output_path=str(PREDICTIONS / "{{ run_id }}.csv"),
    )
