"""Legacy calls of Akkio: datasets and models below ``/v1``, and deployments at ``/api``."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, model_validator

from airflow_provider_akkio.sandbox.datasets import Cell, DatasetStore, FieldType, InvalidUploadError, NotFoundError
from airflow_provider_akkio.sandbox.learning import TrainingParameters
from airflow_provider_akkio.sandbox.payloads import FromText, StrictModel, parameters_of, parse_text, read_parameters
from airflow_provider_akkio.sandbox.tasks import TaskStatus
from airflow_provider_akkio.sandbox.trainings import TrainingQueue

_SECONDS_BETWEEN_CHECKS = 0.02
_VERSION = "1"
"""Version under which every model is deployed."""

_Flag = Annotated[bool, FromText]
_Rows = Annotated[list[dict[str, Cell]], FromText]
_Names = Annotated[list[str], FromText]


class _FieldPayload(StrictModel):
    name: str
    type: Annotated[FieldType, Field(strict=False)]
    valid: Literal[True] = True


class _IdPayload(StrictModel):
    id: str


class _OptionalIdPayload(StrictModel):
    id: str | None = None


class _DatasetPayload(StrictModel):
    """Parameters of ``POST /datasets``: a name creates a dataset, an ID changes one."""

    name: str | None = None
    id: str | None = None
    rows: _Rows | None = None
    fields: Annotated[list[_FieldPayload], FromText] | None = None
    parse_fields: Annotated[Literal[True], FromText] | None = None


class _PredictPayload(StrictModel):
    id: str
    data: _Rows
    explain: _Flag = False
    show_factors: _Flag = False


class _TrainPayload(StrictModel):
    """Parameters of a training; those in ``params`` may also be given directly, as the official clients do."""

    dataset_id: str
    predict_fields: Annotated[_Names, Field(min_length=1)]
    ignore_fields: _Names = Field(default_factory=list)
    duration: Annotated[Literal[1, 10, 60, 300, 1800], FromText] = 10
    extra_attention: _Flag = False
    force: _Flag = False
    params: Annotated[dict[str, Any], FromText] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _include_params(cls, given: dict[str, Any]) -> dict[str, Any]:
        params = parse_text(given.get("params"))
        return {**given, **params} if isinstance(params, Mapping) else given


class _DeploymentPayload(StrictModel):
    """Parameters of a deployment, whose key is ``<id>/<version>``."""

    project_key: str | None = None
    flow_key: str | None = None
    data: _Rows
    transforms_only: _Flag = Field(default=False, alias="deploy-transforms-only")


_read_training, _read_prediction = parameters_of(_TrainPayload), parameters_of(_PredictPayload)


def _model_payload(given: Annotated[Any, Depends(read_parameters)]) -> _TrainPayload | _PredictPayload:
    is_training = isinstance(given, Mapping) and "dataset_id" in given
    return (_read_training if is_training else _read_prediction)(given)


_IdParameters = Annotated[_IdPayload, Depends(parameters_of(_IdPayload))]
_OptionalIdParameters = Annotated[_OptionalIdPayload, Depends(parameters_of(_OptionalIdPayload))]
_DatasetParameters = Annotated[_DatasetPayload, Depends(parameters_of(_DatasetPayload))]
_ModelParameters = Annotated[_TrainPayload | _PredictPayload, Depends(_model_payload)]
_DeploymentParameters = Annotated[_DeploymentPayload, Depends(parameters_of(_DeploymentPayload))]


def dataset_router(datasets: DatasetStore) -> APIRouter:
    """Return the routes of datasets.

    :param datasets: datasets.
    """
    router = APIRouter()

    @router.get("")
    def get_datasets(payload: _OptionalIdParameters) -> dict[str, Any]:
        if payload.id is None:
            return _success(datasets=[{"id": one.id, "name": one.name} for one in datasets.values()])
        dataset = datasets[payload.id]
        fields = [{"name": name, "type": dataset.field_type(name)} for name in dataset.fields]
        return _success(name=dataset.name, rows=len(dataset.rows), fields=fields)

    @router.post("")
    def create_or_change_dataset(payload: _DatasetParameters) -> dict[str, Any]:
        if payload.id is None:
            return _success(dataset_id=_create_dataset(datasets, payload), dataset_name=payload.name)
        _change_dataset(datasets, payload.id, payload)
        return _success()

    @router.delete("")
    def delete_dataset(payload: _IdParameters) -> dict[str, Any]:
        datasets.delete(payload.id)
        return _success()

    return router


def model_router(trainings: TrainingQueue, datasets: DatasetStore) -> APIRouter:
    """Return the routes of models.

    :param trainings: queue of trainings.
    :param datasets: datasets to train on.
    """
    router = APIRouter()

    @router.get("")
    def get_models() -> dict[str, Any]:
        return _success(models=[{"id": model_id, "name": name} for model_id, name in trainings.model_names().items()])

    @router.post("")
    async def train_or_predict(payload: _ModelParameters) -> dict[str, Any]:
        if isinstance(payload, _TrainPayload):
            return await _train(trainings, datasets, payload)
        model, explain = trainings.model(payload.id), payload.explain or payload.show_factors
        return _success(predictions=await run_in_threadpool(model.predict, payload.data, explain=explain))

    @router.delete("")
    def delete_model(payload: _IdParameters) -> dict[str, Any]:
        trainings.delete_model(payload.id)
        return _success()

    return router


def deployment_router(trainings: TrainingQueue) -> APIRouter:
    """Return the route of deployments; every model is deployed as version 1.

    :param trainings: queue of trainings.
    """

    def apply(payload: _DeploymentParameters) -> list[Any]:
        key = payload.project_key or payload.flow_key or ""
        model_id, _, version = key.partition("/")
        if version != _VERSION:
            raise NotFoundError(f"There is no deployment {key!r}.")
        model = trainings.model(model_id)
        return model.transform(payload.data) if payload.transforms_only else model.predict(payload.data, explain=False)

    router = APIRouter()
    router.add_api_route("", apply, methods=["GET", "POST"])
    return router


def _create_dataset(datasets: DatasetStore, payload: _DatasetPayload) -> str:
    if payload.rows is not None or payload.fields is not None:
        raise InvalidUploadError("Rows and fields require the id of a dataset.")
    if not payload.name:
        raise InvalidUploadError("A name or an id is required.")
    return datasets.create(payload.name)


def _change_dataset(datasets: DatasetStore, dataset_id: str, payload: _DatasetPayload) -> None:
    if payload.rows is None and payload.fields is None and payload.parse_fields is None:
        raise InvalidUploadError("One of rows, fields and parse_fields is required.")
    if payload.rows is not None:
        datasets.append(dataset_id, payload.rows)
    if payload.parse_fields:
        datasets.parse_fields(dataset_id)
    if payload.fields is not None:
        datasets.set_types(dataset_id, {one.name: one.type for one in payload.fields})


async def _train(trainings: TrainingQueue, datasets: DatasetStore, payload: _TrainPayload) -> dict[str, Any]:
    parameters = TrainingParameters(
        predict_fields=tuple(payload.predict_fields),
        ignore_fields=tuple(sorted(set(payload.ignore_fields))),
        duration=payload.duration,
        extra_attention=payload.extra_attention,
    )
    task_id = trainings.submit(datasets[payload.dataset_id], parameters, force=payload.force)
    while not (progress := trainings.progress(task_id)).status.is_final:  # noqa: ASYNC110 - a worker thread trains
        await asyncio.sleep(_SECONDS_BETWEEN_CHECKS)
    if progress.status is TaskStatus.FAILED:
        return {"status": "error", "message": progress.error}
    model_id, model = trainings.result(task_id)
    return _success(
        model_id=model_id, stats=model.stats, field_importance=model.field_importance, data_story=model.data_story
    )


def _success(**content: Any) -> dict[str, Any]:
    return {"status": "success", **content}
