"""Akkio's older calls over HTTP, for datasets and models: an application of its own, whose errors look different."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from airflow_provider_akkio.sandbox.access import Access
from airflow_provider_akkio.sandbox.predicting import predict
from airflow_provider_akkio.sandbox.trainings import TrainingQueue, UnknownModelError
from airflow_provider_akkio.sandbox.uploads import (
    CellValue,
    DatasetStore,
    FieldType,
    UnknownDatasetError,
    UnusableRowsError,
)

_SUCCESS: dict[str, Any] = {"status": "success"}


class _Payload(BaseModel):
    """What each body has: the key stands in it."""

    model_config = ConfigDict(strict=True)

    api_key: str = ""


class FieldPayload(BaseModel):
    """A field and its type."""

    name: str
    type: FieldType


class DatasetPayload(_Payload):
    """The body of ``POST /datasets``: a name makes a dataset, an id changes one."""

    name: str | None = None
    id: str | None = None
    rows: list[dict[str, CellValue]] | None = None
    fields: list[FieldPayload] | None = None
    parse_fields: Literal[True] | None = None


class ModelPayload(_Payload):
    """The body of ``POST /models``."""

    id: str
    data: list[dict[str, CellValue]]
    explain: bool = False


class IdPayload(_Payload):
    """The body of a ``DELETE``."""

    id: str


def create_legacy_app(trainings: TrainingQueue, datasets: DatasetStore, access: Access) -> FastAPI:
    """Return the application that is mounted at ``/v1``.

    :param trainings: where the models are.
    :param datasets: what can be read and changed.
    :param access: who may ask.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, _say_what_is_wrong)
    app.add_exception_handler(RequestValidationError, _judge_the_key_first(access))
    app.add_exception_handler(UnknownDatasetError, _not_found)
    app.add_exception_handler(UnknownModelError, _not_found)
    app.add_exception_handler(UnusableRowsError, _unprocessable)
    _add_dataset_routes(app, datasets, access)
    _add_model_routes(app, trainings, access)
    return app


def _add_dataset_routes(app: FastAPI, datasets: DatasetStore, access: Access) -> None:
    @app.get("/datasets")
    def show(api_key: str = "", id: str | None = None) -> dict[str, Any]:  # noqa: A002 - Akkio's name
        access.check(api_key)
        if id is None:
            listed = [{"id": one, "name": name} for one, name in datasets.names()]
            return {**_SUCCESS, "datasets": listed}
        name, rows, fields = datasets.describe(id)
        described = [{"name": field, "type": str(type_)} for field, type_ in fields]
        return {**_SUCCESS, "name": name, "rows": rows, "fields": described}

    @app.post("/datasets")
    def change(payload: DatasetPayload) -> dict[str, Any]:
        access.check(payload.api_key)
        if payload.id is None:
            return {**_SUCCESS, "dataset_id": _create(datasets, payload), "dataset_name": payload.name}
        _change(datasets, payload.id, payload)
        return _SUCCESS

    @app.delete("/datasets")
    def delete(payload: IdPayload) -> dict[str, Any]:
        access.check(payload.api_key)
        datasets.delete(payload.id)
        return _SUCCESS


def _create(datasets: DatasetStore, payload: DatasetPayload) -> str:
    if payload.rows is not None or payload.fields is not None:
        raise UnusableRowsError("To set rows or fields, the id of a dataset is needed.")
    if not payload.name:
        raise UnusableRowsError("A name, or an id, is needed.")
    return datasets.create(payload.name)


def _change(datasets: DatasetStore, dataset_id: str, payload: DatasetPayload) -> None:
    if payload.rows is not None:
        datasets.append(dataset_id, payload.rows)
    elif payload.fields is not None:
        datasets.set_types(dataset_id, {one.name: one.type for one in payload.fields})
    elif payload.parse_fields:
        datasets.forget_types(dataset_id)
    else:
        raise UnusableRowsError("One of rows, fields and parse_fields is needed.")


def _add_model_routes(app: FastAPI, trainings: TrainingQueue, access: Access) -> None:
    @app.get("/models")
    def show(api_key: str = "") -> dict[str, Any]:
        access.check(api_key)
        return {**_SUCCESS, "models": [{"id": one, "name": name} for one, name in trainings.models()]}

    @app.post("/models")
    def ask(payload: ModelPayload) -> dict[str, Any]:
        access.check(payload.api_key)
        model = trainings.model(payload.id)
        return {**_SUCCESS, "predictions": predict(model, payload.data, explain=payload.explain)}

    @app.delete("/models")
    def delete(payload: IdPayload) -> dict[str, Any]:
        access.check(payload.api_key)
        trainings.delete_model(payload.id)
        return _SUCCESS


async def _say_what_is_wrong(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for this class
    return JSONResponse({"status": error.detail}, error.status_code)


def _judge_the_key_first(access: Access) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    """Return a handler of wrong bodies: whoever has no right to ask is not told what is wrong with one."""

    async def say(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for this class
        # FastAPI reads the body before a route can look at its key; what is no JSON object has no place for one.
        if error.body is None or isinstance(error.body, dict):
            key = (error.body or {}).get("api_key")
            try:
                access.check(key if isinstance(key, str) else "")
            except HTTPException as refusal:
                return await _say_what_is_wrong(request, refusal)
        return _say_which_field_is_wrong(error)

    return say


def _say_which_field_is_wrong(error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return JSONResponse({"status": f"{where}: {first['msg']}"}, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _not_found(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"status": str(error)}, HTTPStatus.NOT_FOUND)


async def _unprocessable(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"status": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
