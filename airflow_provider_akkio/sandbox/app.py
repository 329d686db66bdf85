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


class _StrictModel(BaseModel):
    model_config = ConfigDict(strict=True)


class _TrainPayload(_StrictModel):
    """Body of ``POST /models/train/new`` by the Training page; unknown properties are ignored."""

    dataset_id: str
    predict_fields: list[str] | None = Field(default=None, min_length=1)
    ignore_fields: list[str] = []
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


class _FieldPayload(BaseModel):
    name: str
    type: FieldType


class _DatasetPayload(_StrictModel):
    """Body of ``POST /datasets``: a name creates a dataset, an ID changes one."""

    name: str | None = None
    id: str | None = None
    rows: list[dict[str, Cell]] | None = None
    fields: list[_FieldPayload] | None = None
    parse_fields: Literal[True] | None = None


class _PredictPayload(_StrictModel):
    id: str
    data: list[dict[str, Cell]]
    explain: bool = False


class _IdPayload(_StrictModel):
    id: str


def create_app(trainings: TrainingQueue, datasets: DatasetStore, keys: ApiKeys, dialect: Dialect) -> FastAPI:
    """Return the application with the v2 calls below ``/api/v1`` and the v1 calls below ``/v1``.

    :param trainings: queue of trainings; the caller stops it.
    :param datasets: datasets to train on.
    :param keys: API keys.
    :param dialect: API description to follow.
    """
    app = FastAPI(title="Akkio sandbox", exception_handlers={NotFoundError: _v2_error}, **_NO_DOCUMENTATION)
    app.include_router(
        _v2_router(trainings, datasets, dialect), prefix="/api/v1", dependencies=[Depends(keys.check_v2)]
    )
    app.mount("/v1", _v1_app(trainings, datasets, keys))
    return app


def _v2_router(trainings: TrainingQueue, datasets: DatasetStore, dialect: Dialect) -> APIRouter:
    async def submit(payload: _TrainPayload) -> _TaskStarted:
        dataset = datasets[payload.dataset_id]
        parameters = TrainingParameters(
            predict_fields=tuple(payload.predict_fields or dataset.fields[-1:]),
            ignore_fields=tuple(sorted(set(payload.ignore_fields))),
            duration=payload.duration,
            extra_attention=payload.extra_attention,
        )
        return _TaskStarted(task_id=trainings.submit(dataset, parameters, force=payload.force))

    async def submit_by_openapi(payload: _OpenApiTrainPayload) -> _TaskStarted:
        return await submit(payload)

    async def status(task_id: str) -> _TaskState:
        progress = trainings.progress(task_id)
        shown, location = str(progress.status), None
        if progress.status is TaskStatus.SUBMITTED and dialect is Dialect.OPENAPI:
            shown = "PENDING"
        if progress.status is TaskStatus.SUCCEEDED:
            location = f"{'/api/v1' if dialect is Dialect.PAGE else ''}/models/train/{task_id}/result"
        metadata = _StatusMetadata(
            type=shown, estimate_seconds=progress.estimate_seconds, location=location, error=progress.error
        )
        return _TaskState(status=shown, metadata=metadata)

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


def _v1_app(trainings: TrainingQueue, datasets: DatasetStore, keys: ApiKeys) -> FastAPI:
    errors = (StarletteHTTPException, RequestValidationError, NotFoundError, InvalidUploadError)
    app = FastAPI(
        dependencies=[Depends(keys.check_v1)], exception_handlers=dict.fromkeys(errors, _v1_error), **_NO_DOCUMENTATION
    )

    @app.get("/datasets")
    def get_datasets(id: str | None = None) -> dict[str, Any]:  # noqa: A002 - Akkio's name
        if id is None:
            return _success(datasets=[{"id": one.id, "name": one.name} for one in datasets.values()])
        dataset = datasets[id]
        fields = [{"name": name, "type": dataset.field_type(name)} for name in dataset.fields]
        return _success(name=dataset.name, rows=len(dataset.rows), fields=fields)

    @app.post("/datasets")
    def create_or_change_dataset(payload: _DatasetPayload) -> dict[str, Any]:
        if payload.id is None:
            return _success(dataset_id=_create_dataset(datasets, payload), dataset_name=payload.name)
        _change_dataset(datasets, payload.id, payload)
        return _success()

    @app.delete("/datasets")
    def delete_dataset(payload: _IdPayload) -> dict[str, Any]:
        datasets.delete(payload.id)
        return _success()

    @app.get("/models")
    def get_models() -> dict[str, Any]:
        return _success(models=[{"id": model_id, "name": name} for model_id, name in trainings.model_names().items()])

    @app.post("/models")
    def predict(payload: _PredictPayload) -> dict[str, Any]:
        return _success(predictions=trainings.model(payload.id).predict(payload.data, explain=payload.explain))

    @app.delete("/models")
    def delete_model(payload: _IdPayload) -> dict[str, Any]:
        trainings.delete_model(payload.id)
        return _success()

    return app


def _create_dataset(datasets: DatasetStore, payload: _DatasetPayload) -> str:
    if payload.rows is not None or payload.fields is not None:
        raise InvalidUploadError("Rows and fields require the id of a dataset.")
    if not payload.name:
        raise InvalidUploadError("A name or an id is required.")
    return datasets.create(payload.name)


def _change_dataset(datasets: DatasetStore, dataset_id: str, payload: _DatasetPayload) -> None:
    if payload.rows is not None:
        datasets.append(dataset_id, payload.rows)
    elif payload.fields is not None:
        datasets.set_types(dataset_id, {one.name: one.type for one in payload.fields})
    elif payload.parse_fields:
        datasets.set_types(dataset_id, None)
    else:
        raise InvalidUploadError("One of rows, fields and parse_fields is required.")


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
