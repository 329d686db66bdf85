"""The three calls of a training over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, status
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from airflow_provider_akkio.api.types import Duration, TrainingStatus
from airflow_provider_akkio.sandbox.datasets import Dataset
from airflow_provider_akkio.sandbox.dialects import Dialect
from airflow_provider_akkio.sandbox.learning import Parameters
from airflow_provider_akkio.sandbox.trainings import TrainingQueue, UnfinishedTaskError, UnknownTaskError


def _check_seconds(seconds: int) -> Duration:
    if seconds not in list(Duration):
        raise ValueError(f"must be one of {', '.join(str(int(one)) for one in Duration)}")
    return Duration(seconds)


_Seconds = Annotated[int, AfterValidator(_check_seconds)]


class TrainPayload(BaseModel):
    """The body of ``POST /models/train/new`` as the Training page has it; further properties are let through."""

    model_config = ConfigDict(extra="allow", strict=True)

    dataset_id: str
    predict_fields: list[str] | None = Field(default=None, min_length=1)
    ignore_fields: list[str] = Field(default_factory=list)
    duration: _Seconds = Duration.FASTEST
    extra_attention: bool = False
    force: bool = False

    def parameters(self, dataset: Dataset) -> Parameters:
        """Return what to train; the dataset's last field is predicted if the body names none."""
        return Parameters(
            dataset_id=self.dataset_id,
            predict_fields=tuple(self.predict_fields or dataset.fields[-1:]),
            ignore_fields=frozenset(self.ignore_fields),
            duration=Duration(self.duration),
            extra_attention=self.extra_attention,
        )


class CompleteTrainPayload(TrainPayload):
    """The same body as the OpenAPI document has it: two more properties are required."""

    predict_fields: list[str] = Field(min_length=1)
    duration: _Seconds


def training_router(trainings: TrainingQueue, datasets: Mapping[str, Dataset], dialect: Dialect) -> APIRouter:
    """Return the routes below ``/models/train``.

    :param trainings: where trainings are done.
    :param datasets: what can be trained on, by id.
    :param dialect: which of Akkio's two descriptions to keep to.
    """
    router = APIRouter(prefix="/models/train")

    async def submit(payload: TrainPayload) -> dict[str, str]:
        dataset = datasets.get(payload.dataset_id)
        if dataset is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no dataset {payload.dataset_id!r}.")
        return {"task_id": trainings.submit(payload.parameters(dataset), force=payload.force).id}

    async def submit_complete(payload: CompleteTrainPayload) -> dict[str, str]:
        return await submit(payload)

    async def show_status(task_id: str) -> dict[str, Any]:
        return _show_status(trainings, task_id, dialect)

    async def show_result(task_id: str) -> dict[str, Any]:
        return _show_result(trainings, task_id)

    submitting = submit if dialect is Dialect.PAGE else submit_complete
    router.add_api_route("/new", submitting, methods=["POST"], status_code=status.HTTP_201_CREATED)
    router.add_api_route("/{task_id}/status", show_status)
    router.add_api_route("/{task_id}/result", show_result)
    return router


def _show_status(trainings: TrainingQueue, task_id: str, dialect: Dialect) -> dict[str, Any]:
    try:
        progress = trainings.progress(task_id)
    except UnknownTaskError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from error
    shown = dialect.waiting_status if progress.status.is_waiting else progress.status
    metadata: dict[str, Any] = {"type": shown}
    if progress.estimate_seconds is not None:
        metadata["estimate_seconds"] = progress.estimate_seconds
    if progress.status is TrainingStatus.SUCCEEDED:
        metadata["location"] = dialect.location(task_id)
    if progress.error is not None:
        metadata["error"] = progress.error
    return {"status": shown, "metadata": metadata}


def _show_result(trainings: TrainingQueue, task_id: str) -> dict[str, Any]:
    try:
        finished = trainings.result(task_id)
    except (UnknownTaskError, UnfinishedTaskError) as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from error
    return {
        "status": "success",
        "model_id": finished.model_id,
        "stats": finished.model.stats,
        "field_importance": finished.model.field_importance,
        "data_story": finished.model.data_story,
    }
