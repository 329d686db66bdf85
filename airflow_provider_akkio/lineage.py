"""What a training read and made, as OpenLineage has it; loaded where its provider asks, and nowhere else."""

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
    """Which training of Akkio's a run was about.

    :param akkioTaskId: the training's id.
    """

    akkioTaskId: str  # noqa: N815  # OpenLineage writes its keys so


@define
class AkkioModelDatasetFacet(DatasetFacet):
    """How good a model is.

    :param akkioTaskId: id of the training that made it.
    :param metric: name of the one number that tells most, such as ``f1``; ``None`` if there is none.
    :param value: that number.
    :param fieldName: the predicted field that it is about.
    :param stats: all statistics as Akkio sent them.
    :param fieldImportance: field name to its share of the model's decision, as Akkio sent it.
    """

    akkioTaskId: str | None  # noqa: N815
    metric: str | None
    value: float | None
    fieldName: str | None  # noqa: N815
    stats: Any
    fieldImportance: Any  # noqa: N815


def training_lineage(
    site: BaseUrl | None, dataset_id: str | None, akkio_task_id: str | None, result: TrainingResult | None
) -> OperatorLineage[Any, Any]:
    """Return what OpenLineage is told of a training, as far as it is known.

    :param site: where the training's connection leads; ``None``, and so no lineage, if the task did not come so far.
    :param dataset_id: what was trained on.
    :param akkio_task_id: id of the training.
    :param result: what came of it.
    """
    if site is None:
        return OperatorLineage()
    namespace = f"akkio://{site.origin.partition('://')[2]}{site.prefix}"
    return OperatorLineage(
        inputs=[] if dataset_id is None else [Dataset(namespace, f"datasets/{dataset_id}")],
        outputs=[] if result is None else [_model(namespace, akkio_task_id, result)],
        run_facets={} if akkio_task_id is None else {"akkio_training": AkkioTrainingRunFacet(akkio_task_id)},
    )


def _model(namespace: str, akkio_task_id: str | None, result: TrainingResult) -> Dataset:
    found = main_metric(result.stats)
    facet = AkkioModelDatasetFacet(
        akkioTaskId=akkio_task_id,
        metric=None if found is None else found.metric,
        value=None if found is None else found.value,
        fieldName=None if found is None else found.field_name,
        stats=result.stats,
        fieldImportance=result.field_importance,
    )
    return Dataset(namespace, f"models/{result.model_id}", facets={"akkio_model": facet})
