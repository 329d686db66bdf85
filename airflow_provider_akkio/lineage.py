"""OpenLineage metadata of a training. Only OpenLineage's provider loads this module."""

from __future__ import annotations

from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import DatasetFacet, RunFacet

from airflow_provider_akkio.api.config import BaseUrl
from airflow_provider_akkio.api.statistics import main_metric
from airflow_provider_akkio.api.types import TrainingResult


@define
class AkkioTrainingRunFacet(RunFacet):
    """The training of a run."""

    akkioTaskId: str  # noqa: N815  # OpenLineage's convention for keys


@define
class AkkioModelDatasetFacet(DatasetFacet):
    """The quality of a model: its main metric, and the statistics and feature importance as Akkio sent them."""

    akkioTaskId: str | None  # noqa: N815
    metric: str | None
    value: float | None
    fieldName: str | None  # noqa: N815
    stats: Any
    fieldImportance: Any  # noqa: N815


def training_lineage(
    base_url: BaseUrl | None, dataset_id: str | None, akkio_task_id: str | None, result: TrainingResult | None
) -> OperatorLineage[Any, Any]:
    """Return the dataset that a task read, the training it waited for, and the model.

    :param base_url: base URL of the connection; ``None`` if the task failed before it read the connection.
    :param dataset_id: ID of the dataset; ``None`` in a sensor.
    :param akkio_task_id: ID of the training; ``None`` if none was submitted.
    :param result: result of the training; ``None`` without a model.
    :return: the lineage; empty without a base URL, because that is part of each dataset's name.
    """
    if base_url is None:
        return OperatorLineage()
    namespace = f"akkio://{base_url.origin.partition('://')[2]}{base_url.prefix}"
    return OperatorLineage(
        inputs=[] if dataset_id is None else [Dataset(namespace, f"datasets/{dataset_id}")],
        outputs=[] if result is None else [_model(namespace, akkio_task_id, result)],
        run_facets={} if akkio_task_id is None else {"akkio_training": AkkioTrainingRunFacet(akkio_task_id)},
    )


def _model(namespace: str, akkio_task_id: str | None, result: TrainingResult) -> Dataset:
    metric = main_metric(result.stats)
    facet = AkkioModelDatasetFacet(
        akkioTaskId=akkio_task_id,
        metric=None if metric is None else metric.metric,
        value=None if metric is None else metric.value,
        fieldName=None if metric is None else metric.field_name,
        stats=result.stats,
        fieldImportance=result.field_importance,
    )
    return Dataset(namespace, f"models/{result.model_id}", facets={"akkio_model": facet})
