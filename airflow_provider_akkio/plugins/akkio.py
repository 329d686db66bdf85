"""The tab and the list of trainings in Airflow's UI.

Every process of Airflow imports this module. It must stay cheap: only the API server loads the pages.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_akkio.operators._links import TAB_ROUTE
from airflow_provider_akkio.version_compat import AIRFLOW_V_3_1_1_PLUS

log = logging.getLogger(__name__)

_MOUNT = "akkio"


class AkkioPlugin(AirflowPlugin):
    """Adds the tab *Akkio* to each task instance and *Akkio trainings* to the menu *Browse*.

    Both need Airflow 3.1.1: in older versions, the page of a plugin does not receive the user's login.
    """

    name = "akkio"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override] # Airflow declares a plain attribute
        """The application that serves the pages; empty if this Airflow cannot serve them."""
        if not AIRFLOW_V_3_1_1_PLUS:
            return []
        try:
            from airflow_provider_akkio.web.app import build_app

            app = build_app()
        except Exception:  # the pages use internals of Airflow; if those change, Airflow itself must still start
            log.exception("The pages of airflow-provider-akkio are not compatible with this Airflow version.")
            return []
        return [{"name": "Akkio", "app": app, "url_prefix": f"/{_MOUNT}"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override] # Airflow declares a plain attribute
        """The tab and the menu entry; relative URLs also work if Airflow's base URL has a path."""
        if not self.fastapi_apps:
            return []
        return [
            {
                "name": "Akkio",
                "destination": "task_instance",
                "url_route": TAB_ROUTE,
                "href": f"{_MOUNT}/dags/{{DAG_ID}}/runs/{{RUN_ID}}/tasks/{{TASK_ID}}?map_index={{MAP_INDEX}}",
            },
            {
                "name": "Akkio trainings",
                "destination": "nav",
                "category": "browse",
                "url_route": "akkio_trainings",
                "href": f"{_MOUNT}/trainings",
            },
        ]
