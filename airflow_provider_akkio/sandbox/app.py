"""HTTP API of the sandbox."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_provider_akkio.sandbox import Dialect, v1, v2
from airflow_provider_akkio.sandbox.authentication import ApiKeys
from airflow_provider_akkio.sandbox.chat import ChatExplore
from airflow_provider_akkio.sandbox.datasets import DatasetStore, InvalidUploadError, NotFoundError
from airflow_provider_akkio.sandbox.payloads import InvalidBodyError
from airflow_provider_akkio.sandbox.trainings import TrainingQueue

_V2_ROOT = "/api/v1"


def create_app(
    trainings: TrainingQueue, chats: ChatExplore, datasets: DatasetStore, keys: ApiKeys, dialect: Dialect
) -> FastAPI:
    """Return the application with the v2 calls below ``/api/v1``, the v1 calls below ``/v1``, and deployments.

    :param trainings: queue of trainings; the caller stops it.
    :param chats: chats.
    :param datasets: datasets to train on.
    :param keys: API keys.
    :param dialect: API description to follow.
    """
    errors = (HTTPException, RequestValidationError, NotFoundError, InvalidUploadError, InvalidBodyError)
    app = FastAPI(
        title="Akkio sandbox",
        exception_handlers=dict.fromkeys(errors, _error_response),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    v1_routers: dict[str, APIRouter] = {
        "/v1/datasets": v1.dataset_router(datasets),
        "/v1/models": v1.model_router(trainings, datasets),
        "/api": v1.deployment_router(trainings),
    }
    for prefix, router in v1_routers.items():
        app.include_router(router, prefix=prefix, dependencies=[Depends(keys.check_v1)])
    for router in (
        v2.training_router(trainings, datasets, dialect),
        v2.chat_router(chats, trainings, datasets, dialect),
    ):
        app.include_router(router, prefix=_V2_ROOT, dependencies=[Depends(keys.check_v2)])
    return app


async def _error_response(request: Request, error: Exception) -> JSONResponse:
    """Return the reason in ``detail`` for a v2 call, and in ``status`` for another call."""
    is_v2 = request.url.path.startswith(f"{_V2_ROOT}/")
    status, reason = HTTPStatus.UNPROCESSABLE_ENTITY.value, _reason(error, is_v2=is_v2)
    if isinstance(error, HTTPException):
        status = error.status_code
    elif isinstance(error, NotFoundError):
        status = HTTPStatus.NOT_FOUND.value
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"detail" if is_v2 else "status": reason}, status, headers)


def _reason(error: Exception, *, is_v2: bool) -> Any:
    if isinstance(error, HTTPException):
        return error.detail
    if isinstance(error, InvalidBodyError) and is_v2:
        return [{"loc": ["body"], "msg": str(error), "type": "json_invalid"}]
    if not isinstance(error, RequestValidationError):
        return str(error)
    problems = [{part: problem[part] for part in ("loc", "msg", "type")} for problem in error.errors()]
    if is_v2:
        return problems
    location = ".".join(str(part) for part in problems[0]["loc"] if part != "body") or "body"
    return f"{location}: {problems[0]['msg']}"
