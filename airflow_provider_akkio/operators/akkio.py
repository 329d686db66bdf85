"""All operators of the provider."""

from __future__ import annotations

from airflow_provider_akkio.operators.chat import AkkioChatExploreOperator
from airflow_provider_akkio.operators.datasets import AkkioDeleteDatasetOperator, AkkioUploadDatasetOperator
from airflow_provider_akkio.operators.models import (
    AkkioDeleteModelOperator,
    AkkioPredictOperator,
    AkkioPromoteModelOperator,
)
from airflow_provider_akkio.operators.train import AkkioTrainOperator

__all__ = [
    "AkkioChatExploreOperator",
    "AkkioDeleteDatasetOperator",
    "AkkioDeleteModelOperator",
    "AkkioPredictOperator",
    "AkkioPromoteModelOperator",
    "AkkioTrainOperator",
    "AkkioUploadDatasetOperator",
]
