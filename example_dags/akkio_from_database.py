"""Train on the rows of a table, and write predictions to another table of the same database.

The connection ``warehouse`` can be any with a ``DbApiHook``, such as PostgreSQL. Its database has the tables ``leads``
and ``new_leads`` with the columns of the files in ``rows/``. The DAG is started by hand.
"""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from airflow_provider_akkio.transfers.sql_predictions import SqlToAkkioPredictionOperator
from airflow_provider_akkio.transfers.sql_to_akkio import SqlToAkkioDatasetOperator

with DAG("akkio_from_database", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    upload = SqlToAkkioDatasetOperator(
        task_id="upload",
        sql="SELECT * FROM leads",
        sql_conn_id="warehouse",
        dataset_name="Leads, {{ run_id }}",
        field_types={"Positive Lead": "category"},
    )
    train = AkkioTrainOperator(task_id="train", dataset_id=upload.output, predict_fields="Positive Lead")
    predict = SqlToAkkioPredictionOperator(
        task_id="predict",
        sql="SELECT * FROM new_leads",
        sql_conn_id="warehouse",
        model_id=train.output,
        table="predicted_leads",
        if_exists="append",
    )
