"""The application that Airflow's API server mounts: routes, access control, security headers and templates.

Every route requires Airflow's login. A training also requires permission to read the XComs of its DAG. No route
changes anything, and no page loads anything from another site. ``airflow.api_fastapi`` is not a public interface, but
a mounted application has no other way to use Airflow's access control. Verified with Airflow 3.1.8 to 3.3.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pendulum
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_akkio import __version__
from airflow_provider_akkio.web.records import get_dag_ids, get_past_stats, get_task, list_trainings
from airflow_provider_akkio.web.views import TrainingRow, TrainingView, format_time

REFRESH_SECONDS = 5
"""Interval at which the tab reloads itself until the task has ended."""

PAGE_SIZE = 25
"""Trainings per page of the list."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FOLDER = Path(__file__).parent
_STATIC_FILES = ("akkio.css", "akkio.js")
_ERRORS = {
    401: ("Not logged in", "Log in to Airflow to see this page."),
    403: (
        "Access denied",
        "You need permission to read the XComs of this DAG. If you have it, your session may have expired.",
    ),
    404: ("Not found", "This page or task instance does not exist."),
}
_MAX_INDEX_DIGITS = 9
_MISSING = "\N{EN DASH}"

_requires_xcom_access = requires_access_dag("GET", DagAccessEntity.XCOM)


def build_app() -> FastAPI:
    """Return the application."""
    app = FastAPI(title="Akkio", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    app.middleware("http")(_add_headers)
    app.add_exception_handler(StarletteHTTPException, _show_error)
    tab = "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}"
    app.get(tab, dependencies=[Depends(_requires_xcom_access)])(_show_training)
    app.get("/trainings")(_show_trainings)
    app.get("/static/{name}")(_send_static_file)
    return app


def _show_training(request: Request, dag_id: str, run_id: str, task_id: str, map_index: str = "-1") -> HTMLResponse:
    if "\0" in f"{dag_id}{run_id}{task_id}":  # PostgreSQL raises an error for NUL
        raise HTTPException(404)
    # For a task that is not mapped, Airflow does not replace the placeholder {MAP_INDEX}.
    index = int(map_index) if map_index.isdecimal() and len(map_index) <= _MAX_INDEX_DIGITS else -1
    with create_session(scoped=False) as session:
        task = get_task(session, dag_id, run_id, task_id, index)
    if task is None:
        raise HTTPException(404)
    if not task.is_training:
        text = "This task does not train a model at Akkio or wait for one."
        return _page(request, "message.html", heading="No Akkio training", text=text, has_link=True)
    training = TrainingView.of(task, pendulum.now("UTC"))
    refresh_seconds = None if training.has_ended else REFRESH_SECONDS
    return _page(request, "training.html", training=training, refresh_seconds=refresh_seconds)


def _show_trainings(request: Request, user: GetUserDep, page: int = Query(1, ge=1, le=10_000)) -> HTMLResponse:
    with create_session(scoped=False) as session:
        dag_ids = get_dag_ids(session)
    # An auth manager may call another service, so no database connection is held here.
    dag_ids = {dag_id for dag_id in dag_ids if _has_xcom_access(request, user, dag_id)}
    with create_session(scoped=False) as session:
        trainings = list_trainings(session, dag_ids, PAGE_SIZE * (page - 1), PAGE_SIZE + 1)
        shown = trainings[:PAGE_SIZE]
        stats = get_past_stats(session, [training for training in shown if training.model_id])
    rows = [TrainingRow.of(one, stats.get((one.dag_id, one.task_id, one.map_index), [])) for one in shown]
    return _page(request, "trainings.html", rows=rows, page=page, has_more=len(trainings) > PAGE_SIZE)


def _send_static_file(name: str) -> Response:
    if name not in _STATIC_FILES:
        raise HTTPException(404)
    return FileResponse(_FOLDER / "static" / name, headers={"Cache-Control": "private, max-age=3600"})


def _has_xcom_access(request: Request, user: Any, dag_id: str) -> bool:
    """Return whether the tab's own check lets the user read a DAG."""
    try:
        _requires_xcom_access(Request({**request.scope, "path_params": {"dag_id": dag_id}}), user)
    except HTTPException:
        return False
    return True


async def _show_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, StarletteHTTPException) else 500
    heading, text = _ERRORS.get(status, ("Error", f"Airflow could not process this request (HTTP {status})."))
    return _page(request, "message.html", status, heading=heading, text=text, has_link=False)


async def _add_headers(request: Request, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await handle(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    values = {"root": request.scope.get("root_path", ""), "version": __version__, "refresh_seconds": None, **values}
    return HTMLResponse(_environment().get_template(template).render(values).encode(errors="replace"), status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "decimal": _format_decimal,
        "time": format_time,
        "metric": lambda value: _MISSING if value is None else f"{value:.3f}",
        "count": lambda value: _MISSING if value is None else f"{value:,.0f}",
        "percent": lambda value: _MISSING if value is None else f"{value:.1%}",
        "bar_width": lambda share: f"{100 * min(1.0, max(0.0, share or 0.0)):.3g}",
    }
    return environment


def _format_decimal(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
