"""Apache Airflow provider for Akkio: train a model from a DAG and wait for it without holding a worker."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Return what Airflow shows of this provider, in the shape of its ``provider_info.schema.json``."""
    from airflow_provider_akkio.hooks.connection_form import provider_form

    integration = "Akkio"
    return {
        "package-name": "airflow-provider-akkio",
        "name": "Akkio",
        "description": "`Akkio <https://www.akkio.com/>`__ trains and serves machine learning models.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://api.akkio.com/api/v1/docs",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "akkio",
                "hook-class-name": "airflow_provider_akkio.hooks.akkio.AkkioHook",
                "hook-name": "Akkio",
                **provider_form(),
            }
        ],
        "hooks": [{"integration-name": integration, "python-modules": ["airflow_provider_akkio.hooks.akkio"]}],
        "operators": [{"integration-name": integration, "python-modules": ["airflow_provider_akkio.operators.akkio"]}],
        "extra-links": [
            "airflow_provider_akkio.operators._links.AkkioTrainingLink",
            "airflow_provider_akkio.operators._links.AkkioLink",
        ],
        "sensors": [{"integration-name": integration, "python-modules": ["airflow_provider_akkio.sensors.akkio"]}],
        "transfers": [
            {
                "source-integration-name": "Common SQL",
                "target-integration-name": target,
                "python-module": f"airflow_provider_akkio.transfers.{module}",
            }
            for module, target in (("sql_to_akkio", integration), ("sql_predictions", "Common SQL"))
        ],
        "triggers": [
            {
                "integration-name": integration,
                "python-modules": ["airflow_provider_akkio.triggers.akkio"],
            }
        ],
    }
