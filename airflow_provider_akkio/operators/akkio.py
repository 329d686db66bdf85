"""The operators, from one place: train a model, and everything around it."""

from __future__ import annotations

from airflow_provider_akkio.operators.delete import AkkioDeleteDatasetOperator, AkkioDeleteModelOperator
from airflow_provider_akkio.operators.predict import AkkioPredictOperator
from airflow_provider_akkio.operators.promote import AkkioPromoteModelOperator
from airflow_provider_akkio.operators.train import AkkioTrainOperator
from airflow_provider_akkio.operators.upload import AkkioUploadDatasetOperator

__all__ = [
    "AkkioDeleteDatasetOperator",
    "AkkioDeleteModelOperator",
    "AkkioPredictOperator",
    "AkkioPromoteModelOperator",
    "AkkioTrainOperator",
    "AkkioUploadDatasetOperator",
]
