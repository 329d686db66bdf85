"""The sandbox over HTTP: each part of Akkio's API is a router of its own, with its own root and its own access."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from airflow_provider_akkio.sandbox.access import Access
from airflow_provider_akkio.sandbox.dialects import Dialect
from airflow_provider_akkio.sandbox.legacy_routes import create_legacy_app
from airflow_provider_akkio.sandbox.training_routes import training_router
from airflow_provider_akkio.sandbox.trainings import TrainingQueue
from airflow_provider_akkio.sandbox.uploads import DatasetStore


def create_app(
    trainings: TrainingQueue, datasets: DatasetStore, access: Access, dialect: Dialect = Dialect.PAGE
) -> FastAPI:
    """Return the application; whoever creates it closes ``trainings`` when it is done.

    :param trainings: where trainings are done.
    :param datasets: what can be trained on, and grows.
    :param access: who may ask.
    :param dialect: which of Akkio's two descriptions to keep to; default the Training page.
    """
    app = FastAPI(title="Akkio sandbox", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(training_router(trainings, datasets, dialect), prefix="/api/v1", dependencies=[Depends(access)])
    app.mount("/v1", create_legacy_app(trainings, datasets, access))
    return app
