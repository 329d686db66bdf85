"""Current calls of Akkio, below ``/api/v1``: trainings and Chat Explore."""

from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, model_validator

from airflow_provider_akkio.sandbox import Dialect
from airflow_provider_akkio.sandbox.chat import ChatExplore
from airflow_provider_akkio.sandbox.datasets import DatasetStore
from airflow_provider_akkio.sandbox.learning import TrainingParameters
from airflow_provider_akkio.sandbox.payloads import StrictModel, parameters_of, read_body
from airflow_provider_akkio.sandbox.tasks import Progress, TaskStatus
from airflow_provider_akkio.sandbox.trainings import TrainingQueue

_Duration = Literal[10, 60, 300, 1800]
_ImageFormat = Literal["base64_png", "plotly_json"]


class _TrainPayload(StrictModel):
    """Body of ``POST /models/train/new`` by the Training page; unknown properties are ignored."""

    dataset_id: str
    predict_fields: list[str] | None = Field(default=None, min_length=1)
    ignore_fields: list[str] = Field(default_factory=list)
    duration: _Duration = 10
    extra_attention: bool = False
    force: bool = False


class _OpenApiTrainPayload(_TrainPayload):
    """The same body by the OpenAPI document, which requires two more properties."""

    predict_fields: list[str] = Field(min_length=1)
    duration: _Duration


class _TaskStarted(BaseModel):
    task_id: str


class _StatusMetadata(BaseModel):
    type: str
    estimate_seconds: float | None = None
    location: str | None = None
    error: str | None = None


class _TaskState(BaseModel):
    status: str
    metadata: _StatusMetadata


class _TaskResult(BaseModel):
    status: Literal["success"] = "success"
    model_id: str
    stats: list[list[dict[str, Any]]]
    field_importance: dict[str, float]
    data_story: list[dict[str, Any]]


class _ChatMessage(StrictModel):
    role: Literal["user", "assistant"]
    content: str
    images: list[str | dict[str, Any]] = Field(default_factory=list)
    table: list[dict[str, Any]] | None = None


class _ChatPayload(StrictModel):
    """Body of ``POST /chat-explore/new``; the context and the instructions do not change the answer."""

    messages: list[_ChatMessage]
    dataset_id: str | None = None
    project_id: str | None = None
    chat_context: str = Field(default="", alias="chatContext")
    chat_instructions: str = Field(default="", alias="chatInstructions")

    @model_validator(mode="after")
    def _has_subject(self) -> Self:
        if self.dataset_id is None and self.project_id is None:
            raise ValueError("dataset_id or project_id is required")
        return self


class _Chat(BaseModel):
    owner: str = Field(default="sandbox", serialization_alias="_owner")
    organization: str = Field(default="sandbox", serialization_alias="_org")
    messages: list[dict[str, Any]]


_TrainParameters = Annotated[_TrainPayload, Depends(parameters_of(_TrainPayload, read_body))]
_OpenApiTrainParameters = Annotated[_OpenApiTrainPayload, Depends(parameters_of(_OpenApiTrainPayload, read_body))]
_ChatParameters = Annotated[_ChatPayload, Depends(parameters_of(_ChatPayload, read_body))]


def _task_state(progress: Progress, location: str, dialect: Dialect) -> _TaskState:
    """Return the response to a poll; ``location`` is relative to the API root."""
    shown, shown_location = str(progress.status), None
    if progress.status is TaskStatus.SUBMITTED and dialect is Dialect.OPENAPI:
        shown = "PENDING"
    if progress.status is TaskStatus.SUCCEEDED:
        shown_location = f"{'/api/v1' if dialect is Dialect.PAGE else ''}{location}"
    metadata = _StatusMetadata(
        type=shown, estimate_seconds=progress.estimate_seconds, location=shown_location, error=progress.error
    )
    return _TaskState(status=shown, metadata=metadata)


def training_router(trainings: TrainingQueue, datasets: DatasetStore, dialect: Dialect) -> APIRouter:
    """Return the routes of trainings.

    :param trainings: queue of trainings.
    :param datasets: datasets to train on.
    :param dialect: API description to follow.
    """

    async def submit(payload: _TrainParameters) -> _TaskStarted:
        dataset = datasets[payload.dataset_id]
        parameters = TrainingParameters(
            predict_fields=tuple(payload.predict_fields or dataset.fields[-1:]),
            ignore_fields=tuple(sorted(set(payload.ignore_fields))),
            duration=payload.duration,
            extra_attention=payload.extra_attention,
        )
        return _TaskStarted(task_id=trainings.submit(dataset, parameters, force=payload.force))

    async def submit_by_openapi(payload: _OpenApiTrainParameters) -> _TaskStarted:
        return await submit(payload)

    async def status(task_id: str) -> _TaskState:
        return _task_state(trainings.progress(task_id), f"/models/train/{task_id}/result", dialect)

    async def result(task_id: str) -> _TaskResult:
        model_id, model = trainings.result(task_id)
        return _TaskResult(
            model_id=model_id, stats=model.stats, field_importance=model.field_importance, data_story=model.data_story
        )

    router = APIRouter(prefix="/models/train")
    submission = submit if dialect is Dialect.PAGE else submit_by_openapi
    router.add_api_route("/new", submission, methods=["POST"], status_code=HTTPStatus.CREATED)
    router.add_api_route("/{task_id}/status", status, response_model_exclude_none=True)
    router.add_api_route("/{task_id}/result", result)
    return router


def chat_router(chats: ChatExplore, trainings: TrainingQueue, datasets: DatasetStore, dialect: Dialect) -> APIRouter:
    """Return the routes of Chat Explore.

    :param chats: chats.
    :param trainings: queue of trainings; the ID of a model is also the ID of its project.
    :param datasets: datasets to chat about.
    :param dialect: API description to follow.
    """

    # Not asynchronous: an answer about a large dataset takes some time.
    def submit(payload: _ChatParameters) -> _TaskStarted:
        dataset_id = payload.dataset_id
        if dataset_id is None:
            dataset_id = trainings.training(str(payload.project_id)).dataset.id
        messages = [message.model_dump() for message in payload.messages]
        return _TaskStarted(task_id=chats.submit(datasets[dataset_id], messages))

    async def status(task_id: str) -> _TaskState:
        return _task_state(chats.progress(task_id), f"/chat-explore/chats/{chats.chat_id(task_id)}", dialect)

    async def chat(id: str, image_format: _ImageFormat | None = None) -> _Chat:  # noqa: A002, ARG001 - Akkio's names
        return _Chat(messages=chats.messages(id))

    router = APIRouter(prefix="/chat-explore")
    router.add_api_route("/new", submit, methods=["POST"], status_code=HTTPStatus.CREATED)
    router.add_api_route("/status/{task_id}", status, response_model_exclude_none=True)
    router.add_api_route("/chats/{id}", chat)
    return router
