"""The operators, from one place: train a model, and everything around it."""

from __future__ import annotations

from airflow_provider_akkio.operators.datasets import AkkioUploadDatasetOperator
from airflow_provider_akkio.operators.delete import AkkioDeleteDatasetOperator, AkkioDeleteModelOperator
from airflow_provider_akkio.operators.models import AkkioPredictOperator, AkkioPromoteModelOperator
from airflow_provider_akkio.operators.train import AkkioTrainOperator

__all__ = [
    "AkkioDeleteDatasetOperator",
    "AkkioDeleteModelOperator",
    "AkkioPredictOperator",
    "AkkioPromoteModelOperator",
    "AkkioTrainOperator",
    "AkkioUploadDatasetOperator",
]
