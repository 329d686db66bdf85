"""HTTP API of the sandbox: the v2 calls for trainings and the v1 calls for datasets and models."""

import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_akkio.sandbox import Dialect
from airflow_provider_akkio.sandbox.datasets import (
    Cell,
    Dataset,
    DatasetStore,
    FieldType,
    InvalidUploadError,
    NotFoundError,
)
from airflow_provider_akkio.sandbox.learning import TrainingParameters
from airflow_provider_akkio.sandbox.trainings import TaskStatus, TrainingQueue

_NO_DOCUMENTATION: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}

_Duration = Literal[10, 60, 300, 1800]


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """API keys of the sandbox.

    :param key: accepted key; a key with a space around it is a different key.
    :param forbidden_key: key that gets HTTP 403; default none.
    """

    key: str = field(repr=False)
    forbidden_key: str | None = field(default=None, repr=False)

    def check(self, given: object) -> None:
        """Raise :class:`HTTPException` with HTTP 401 for an unknown key, and with 403 for the forbidden key."""
        if self.forbidden_key is not None and _is_same(given, self.forbidden_key):
            raise HTTPException(HTTPStatus.FORBIDDEN, "The organization of this API key may not use this resource.")
        if not _is_same(given, self.key):
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "The API key is missing or invalid.")

    def check_v2(self, x_api_key: Annotated[str, Header()] = "") -> None:
        """Check the key in the header of a v2 request."""
        self.check(x_api_key)

    async def check_v1(self, request: Request) -> None:
        """Check the key in the query of a v1 ``GET`` request, or in the JSON body of another request."""
        given: Any = request.query_params if request.method == "GET" else None
        if given is None and await request.body():
            given = await request.json()
        self.check(given.get("api_key") if hasattr(given, "get") else None)


def _is_same(given: object, key: str) -> bool:
    return isinstance(given, str) and secrets.compare_digest(given.encode(errors="replace"), key.encode())


class TrainRequestPayload(BaseModel):
    """Body of ``POST /models/train/new`` by the Training page; unknown properties are accepted."""

    model_config = ConfigDict(extra="allow", strict=True)

    dataset_id: str
    predict_fields: list[str] | None = Field(default=None, min_length=1)
    ignore_fields: list[str] = []
    duration: _Duration = 10
    extra_attention: bool = False
    force: bool = False

    def parameters(self, dataset: Dataset) -> TrainingParameters:
        """Return the parameters of the training; by default it predicts the last field of the dataset."""
        return TrainingParameters(
            predict_fields=tuple(self.predict_fields or dataset.fields[-1:]),
            ignore_fields=tuple(sorted(set(self.ignore_fields))),
            duration=self.duration,
            extra_attention=self.extra_attention,
        )


class OpenApiTrainRequestPayload(TrainRequestPayload):
    """The same body by the OpenAPI document, which requires two more properties."""

    predict_fields: list[str] = Field(min_length=1)
    duration: _Duration


class TaskStartedResponse(BaseModel):
    """Response to a submission."""

    task_id: str


class StatusMetadata(BaseModel):
    """Metadata of a status; which of the optional properties exist depends on the status."""

    type: str
    estimate_seconds: float | None = None
    location: str | None = None
    error: str | None = None


class StatusResponse(BaseModel):
    """Status of a task."""

    status: str
    metadata: StatusMetadata


class ResultResponse(BaseModel):
    """Result of a training."""

    status: Literal["success"] = "success"
    model_id: str
    stats: list[list[dict[str, Any]]]
    field_importance: dict[str, float]
    data_story: list[dict[str, Any]]


class FieldPayload(BaseModel):
    """A field and its type."""

    name: str
    type: FieldType


class DatasetPayload(BaseModel):
    """Body of ``POST /datasets``: a name creates a dataset, an ID changes one."""

    model_config = ConfigDict(strict=True)

    name: str | None = None
    id: str | None = None
    rows: list[dict[str, Cell]] | None = None
    fields: list[FieldPayload] | None = None
    parse_fields: Literal[True] | None = None


class PredictPayload(BaseModel):
    """Body of ``POST /models``."""

    model_config = ConfigDict(strict=True)

    id: str
    data: list[dict[str, Cell]]
    explain: bool = False


class IdPayload(BaseModel):
    """Body of a ``DELETE`` request."""

    model_config = ConfigDict(strict=True)

    id: str


def create_app(trainings: TrainingQueue, datasets: DatasetStore, keys: ApiKeys, dialect: Dialect) -> FastAPI:
    """Return the application with the v2 calls below ``/api/v1`` and the v1 calls below ``/v1``.

    :param trainings: queue of trainings; the caller stops it.
    :param datasets: datasets to train on.
    :param keys: API keys.
    :param dialect: description of Akkio's API to follow.
    """

    app = FastAPI(title="Akkio sandbox", exception_handlers={NotFoundError: _v2_error}, **_NO_DOCUMENTATION)
    app.include_router(
        _v2_router(trainings, datasets, dialect), prefix="/api/v1", dependencies=[Depends(keys.check_v2)]
    )
    app.mount("/v1", _v1_app(trainings, datasets, keys))
    return app


def _v2_router(trainings: TrainingQueue, datasets: DatasetStore, dialect: Dialect) -> APIRouter:
    async def submit(payload: TrainRequestPayload) -> TaskStartedResponse:
        dataset = datasets[payload.dataset_id]
        return TaskStartedResponse(task_id=trainings.submit(dataset, payload.parameters(dataset), force=payload.force))

    async def submit_by_openapi(payload: OpenApiTrainRequestPayload) -> TaskStartedResponse:
        return await submit(payload)

    async def status(task_id: str) -> StatusResponse:
        progress = trainings.progress(task_id)
        location = f"/models/train/{task_id}/result" if progress.status is TaskStatus.SUCCEEDED else None
        shown = str(progress.status)
        if dialect is Dialect.OPENAPI and progress.status is TaskStatus.SUBMITTED:
            shown = "PENDING"
        if dialect is Dialect.PAGE and location:
            location = f"/api/v1{location}"
        metadata = StatusMetadata(
            type=shown, estimate_seconds=progress.estimate_seconds, location=location, error=progress.error
        )
        return StatusResponse(status=shown, metadata=metadata)

    async def result(task_id: str) -> ResultResponse:
        model_id, model = trainings.result(task_id)
        return ResultResponse(
            model_id=model_id, stats=model.stats, field_importance=model.field_importance, data_story=model.data_story
        )

    router = APIRouter(prefix="/models/train")
    submission = submit if dialect is Dialect.PAGE else submit_by_openapi
    router.add_api_route("/new", submission, methods=["POST"], status_code=HTTPStatus.CREATED)
    router.add_api_route("/{task_id}/status", status, response_model_exclude_none=True)
    router.add_api_route("/{task_id}/result", result)
    return router


def _v1_app(trainings: TrainingQueue, datasets: DatasetStore, keys: ApiKeys) -> FastAPI:
    app = FastAPI(
        dependencies=[Depends(keys.check_v1)],
        exception_handlers=dict.fromkeys(
            (StarletteHTTPException, RequestValidationError, NotFoundError, InvalidUploadError), _v1_error
        ),
        **_NO_DOCUMENTATION,
    )
    _add_dataset_routes(app, datasets)
    _add_model_routes(app, trainings)
    return app


def _add_dataset_routes(app: FastAPI, datasets: DatasetStore) -> None:
    @app.get("/datasets")
    def get_datasets(id: str | None = None) -> dict[str, Any]:  # noqa: A002 - Akkio's name
        if id is None:
            return _success(datasets=[{"id": one.id, "name": one.name} for one in datasets.values()])
        dataset = datasets[id]
        fields = [{"name": name, "type": dataset.field_type(name)} for name in dataset.fields]
        return _success(name=dataset.name, rows=len(dataset.rows), fields=fields)

    @app.post("/datasets")
    def create_or_change_dataset(payload: DatasetPayload) -> dict[str, Any]:
        if payload.id is None:
            if payload.rows is not None or payload.fields is not None:
                raise InvalidUploadError("Rows and fields require the id of a dataset.")
            if not payload.name:
                raise InvalidUploadError("A name or an id is required.")
            return _success(dataset_id=datasets.create(payload.name), dataset_name=payload.name)
        if payload.rows is not None:
            datasets.append(payload.id, payload.rows)
        elif payload.fields is not None:
            datasets.set_types(payload.id, {one.name: one.type for one in payload.fields})
        elif payload.parse_fields:
            datasets.infer_types(payload.id)
        else:
            raise InvalidUploadError("One of rows, fields and parse_fields is required.")
        return _success()

    @app.delete("/datasets")
    def delete_dataset(payload: IdPayload) -> dict[str, Any]:
        datasets.delete(payload.id)
        return _success()


def _add_model_routes(app: FastAPI, trainings: TrainingQueue) -> None:
    @app.get("/models")
    def get_models() -> dict[str, Any]:
        return _success(models=[{"id": model_id, "name": name} for model_id, name in trainings.model_names().items()])

    @app.post("/models")
    def predict(payload: PredictPayload) -> dict[str, Any]:
        return _success(predictions=trainings.model(payload.id).predict(payload.data, explain=payload.explain))

    @app.delete("/models")
    def delete_model(payload: IdPayload) -> dict[str, Any]:
        trainings.delete_model(payload.id)
        return _success()


def _success(**values: object) -> dict[str, Any]:
    return {"status": "success", **values}


def _error_response(key: str, error: Exception) -> JSONResponse:
    match error:
        case StarletteHTTPException():
            return JSONResponse({key: error.detail}, error.status_code)
        case RequestValidationError():
            first = error.errors()[0]
            location = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
            return JSONResponse({key: f"{location}: {first['msg']}"}, HTTPStatus.UNPROCESSABLE_ENTITY)
        case NotFoundError():
            return JSONResponse({key: str(error)}, HTTPStatus.NOT_FOUND)
        case _:
            return JSONResponse({key: str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _v1_error(_: Request, error: Exception) -> JSONResponse:
    return _error_response("status", error)


async def _v2_error(_: Request, error: Exception) -> JSONResponse:
    return _error_response("detail", error)
