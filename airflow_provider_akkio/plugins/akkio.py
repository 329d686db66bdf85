"""Shows trainings in Airflow's own page.

Airflow imports this module in each of its processes, so it loads nothing; the API server alone asks for the pages.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, BaseOperatorLink

log = logging.getLogger(__name__)

AKKIO = "https://app.akkio.com/"
"""Akkio's web application, which has no public address for a single model."""

_TAB = "akkio"
_URL_PREFIX = "/akkio"


def _operators_with_links() -> list[Any]:
    """Return classes of the operators' names: Airflow compares names, and so need not load the operators themselves.

    See ``populate_operator`` in ``airflow.serialization.serialized_objects``, which the DAG processor calls, too.
    """
    package = __name__.partition(".")[0]
    named = (("operators.train", "AkkioTrainOperator"), ("sensors.akkio", "AkkioTrainSensor"))
    return [type(name, (), {"__module__": f"{package}.{module}"}) for module, name in named]


class TrainingLink(BaseOperatorLink):
    """Leads from a task that trains, or waits for a training, to the tab; it is computed where it is shown."""

    operators = _operators_with_links()

    @property
    def name(self) -> str:
        """What the button says."""
        return "Akkio training"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address of the tab, relative to Airflow's own.

        :param operator: the task.
        :param ti_key: which of its instances.
        """
        from airflow_provider_akkio.web.addresses import task_path

        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        return f"{task_path(ti_key.dag_id, ti_key.run_id, ti_key.task_id)}{mapped}/plugin/{_TAB}"


class AkkioLink(BaseOperatorLink):
    """Leads to Akkio's web application."""

    operators = _operators_with_links()

    @property
    def name(self) -> str:
        """What the button says."""
        return "Akkio"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the same address for every task.

        :param operator: the task.
        :param ti_key: which of its instances.
        """
        return AKKIO


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
        try:
            from airflow_provider_akkio.web.app import build_app

            app = build_app()
        except Exception:  # they are made of parts of Airflow; whatever becomes of these, its own page has to be served
            log.exception("The pages of airflow-provider-akkio cannot be served in this Airflow.")
            return []
        return [{"name": "Akkio", "app": app, "url_prefix": _URL_PREFIX}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override] # Airflow declares a plain attribute
        """The tab and the page; their addresses are relative, so that they hold where Airflow has a path of its own."""
        if not self.fastapi_apps:
            return []
        prefix = _URL_PREFIX.removeprefix("/")
        return [
            {
                "name": "Akkio",
                "destination": "task_instance",
                "url_route": _TAB,
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
    def operator_extra_links(self) -> list[Any]:  # type: ignore[override] # Airflow declares a plain attribute
        """The links on the page of a task, also for runs of the past."""
        return [TrainingLink(), AkkioLink()] if _has_pages() else [AkkioLink()]


def _has_pages() -> bool:
    from airflow import __version__
    from packaging.version import Version

    return Version(Version(__version__).base_version) >= Version("3.1.1")
