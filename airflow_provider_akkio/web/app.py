"""The application that Airflow's API server mounts.

Whatever it serves asks for Airflow's login first, and a training for the right to read the XComs of its DAG. It changes
nothing, and its pages load nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pendulum
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_akkio import __version__
from airflow_provider_akkio.api.summary import listed_main_metric
from airflow_provider_akkio.web.records import task_record, training_dags
from airflow_provider_akkio.web.templating import render, static_text
from airflow_provider_akkio.web.training import TrainingView, model_of
from airflow_provider_akkio.web.trainings import listed
from airflow_provider_akkio.web.trend import Trend

_DIGITS = 10

REFRESH_SECONDS = 5
"""Seconds after which the page of a task that has not ended asks for itself again."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STATIC = {"akkio.css": "text/css", "akkio.js": "text/javascript"}
_REFUSALS = {
    401: ("Please log in", "This page is for those who are logged in to Airflow."),
    403: (
        "Not yours to see",
        "You may not read the XComs of this DAG, or your login has ended. Whoever manages the users can allow it.",
    ),
    404: ("Nothing here", "There is no such page, or no such task instance any more."),
}


def build_app() -> FastAPI:
    """Return the application."""
    app = FastAPI(title="Akkio", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    app.middleware("http")(_secure)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.get(
        "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}",
        dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
    )(_training)
    app.get("/models")(_models)
    app.get("/static/{name}")(_static)
    return app


def _training(request: Request, dag_id: str, run_id: str, task_id: str, map_index: str = "-1") -> HTMLResponse:
    if "\0" in f"{dag_id}{run_id}{task_id}":  # no text of a PostgreSQL
        raise HTTPException(404)
    # Airflow leaves the placeholder as it is for a task that is not mapped.
    index = int(map_index) if map_index.isdecimal() and len(map_index) < _DIGITS else -1
    with create_session(scoped=False) as session:
        record = task_record(session, dag_id, run_id, task_id, index)
    if record is None:
        raise HTTPException(404)
    if not record.is_training:
        text = "This task neither trains a model at Akkio nor waits for one."
        return _page(request, "message.html", heading="No Akkio training", text=text, links_to_all=True)
    model = model_of(record)
    training = TrainingView.of(record, pendulum.now("UTC"))
    return _page(
        request,
        "training.html",
        training=training,
        model=model,
        trend=None if model is None else Trend.of([*map(listed_main_metric, record.past_stats), model.main_metric]),
        refresh_seconds=None if training.has_ended else REFRESH_SECONDS,
    )


def _models(request: Request, user: GetUserDep, page: int = Query(1, ge=1, le=10_000)) -> HTMLResponse:
    with create_session(scoped=False) as session:
        found = training_dags(session)
    # Whoever manages the users may ask elsewhere, for each DAG: no connection to the database waits for that.
    dag_ids = {dag_id for dag_id in found if _may_read(request, user, dag_id)}
    with create_session(scoped=False) as session:
        rows, has_more = listed(session, dag_ids, page)
    return _page(request, "models.html", rows=rows, page=page, has_more=has_more)


def _static(name: str) -> Response:
    if name not in _STATIC:
        raise HTTPException(404)
    return Response(static_text(name), media_type=_STATIC[name], headers={"Cache-Control": "private, max-age=3600"})


def _may_read(request: Request, user: Any, dag_id: str) -> bool:
    asked = Request({**request.scope, "path_params": {"dag_id": dag_id}})
    try:
        requires_access_dag("GET", DagAccessEntity.XCOM)(asked, user)
    except HTTPException:
        return False
    return True


def _page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    values = {"root": request.scope.get("root_path", ""), "version": __version__, "refresh_seconds": None, **values}
    return HTMLResponse(render(template, **values).encode(errors="replace"), status)


async def _refuse(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, StarletteHTTPException) else 500
    heading, text = _REFUSALS.get(status, ("That did not work", "Airflow could not answer this."))
    return _page(request, "message.html", status, heading=heading, text=text, links_to_all=False)


async def _secure(request: Request, serve: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await serve(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
