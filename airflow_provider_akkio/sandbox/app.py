"""The sandbox over HTTP: each part of Akkio's API is a router of its own, with its own root and its own access."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Depends, FastAPI

from airflow_provider_akkio.sandbox.access import Access
from airflow_provider_akkio.sandbox.datasets import Dataset
from airflow_provider_akkio.sandbox.dialects import Dialect
from airflow_provider_akkio.sandbox.training_routes import training_router
from airflow_provider_akkio.sandbox.trainings import TrainingQueue


def create_app(
    trainings: TrainingQueue, datasets: Mapping[str, Dataset], access: Access, dialect: Dialect = Dialect.PAGE
) -> FastAPI:
    """Return the application; whoever creates it closes ``trainings`` when it is done.

    :param trainings: where trainings are done.
    :param datasets: what can be trained on, by id.
    :param access: who may ask.
    :param dialect: which of Akkio's two descriptions to keep to; default the Training page.
    """
    app = FastAPI(title="Akkio sandbox", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(training_router(trainings, datasets, dialect), prefix="/api/v1", dependencies=[Depends(access)])
    return app
