"""Shows trainings in Airflow's own page.

Airflow imports this module in each of its processes, so it holds the bare class; the API server alone asks for more.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

TAB = "akkio"
"""The tab's part of the address of a task instance's page."""

_URL_PREFIX = "/akkio"


class AkkioPlugin(AirflowPlugin):
    """A tab on the page of a task instance, a page of all trainings, and links to them.

    The pages need Airflow 3.1.1 or newer: before, a page of a plugin cannot tell who is logged in.
    """

    name = "akkio"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override] # Airflow declares a plain attribute
        """The application that serves the pages."""
        if not _has_pages():
            return []
        from airflow_provider_akkio.web.app import build_app

        return [{"name": "Akkio", "app": build_app(), "url_prefix": _URL_PREFIX}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The tab and the page; their addresses are relative, so that they hold where Airflow has a path of its own."""
        if not _has_pages():
            return []
        prefix = _URL_PREFIX.removeprefix("/")
        return [
            {
                "name": "Akkio",
                "destination": "task_instance",
                "url_route": TAB,
                "href": f"{prefix}/dags/{{DAG_ID}}/runs/{{RUN_ID}}/tasks/{{TASK_ID}}?map_index={{MAP_INDEX}}",
            },
            {
                "name": "Akkio models",
                "destination": "nav",
                "category": "browse",
                "url_route": "akkio_models",
                "href": f"{prefix}/models",
            },
        ]

    @cached_property
    def operator_extra_links(self) -> list[Any]:  # type: ignore[override]
        """The links on the page of a task that trains or waits for a training, also for runs of the past."""
        from airflow_provider_akkio.web.links import AkkioLink, TrainingLink

        return [TrainingLink(TAB), AkkioLink()] if _has_pages() else [AkkioLink()]


def _has_pages() -> bool:
    from airflow import __version__
    from packaging.version import Version

    return Version(Version(__version__).base_version) >= Version("3.1.1")
