"""OpenLineage metadata of a training; tests/end_to_end/test_lineage.py tests it with OpenLineage's own provider."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_akkio.api.config import BaseUrl
from airflow_provider_akkio.api.types import TrainingResult
from airflow_provider_akkio.lineage import training_lineage
from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

STATS = [[{"field_name": "Lead", "class_name": "0", "count": 5, "f1": 0.5}]]


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        (None, "akkio://api.akkio.com"),
        ("http://akkio.example:8000/eu/v1", "akkio://akkio.example:8000/eu"),
    ],
)
def test_lineage_names_dataset_and_model_in_namespace_of_base_url(host: str | None, namespace: str) -> None:
    base_url = BaseUrl.from_connection(host, None, None)
    lineage = training_lineage(base_url, "D1", "T1", TrainingResult("M1", STATS, {"Age": 1.0}, []))
    assert [(one.namespace, one.name) for one in lineage.inputs] == [(namespace, "datasets/D1")]
    assert [(one.namespace, one.name) for one in lineage.outputs] == [(namespace, "models/M1")]
    facet = lineage.outputs[0].facets["akkio_model"]
    assert (facet.akkioTaskId, facet.metric, facet.value, facet.fieldName) == ("T1", "f1", 0.5, "Lead")
    assert (facet.stats, facet.fieldImportance) == (STATS, {"Age": 1.0})


def test_model_without_statistics_has_no_metric_in_lineage() -> None:
    base_url = BaseUrl.from_connection(None, None, None)
    [model] = training_lineage(base_url, None, "T1", TrainingResult("M1", [], None, None)).outputs
    facet = model.facets["akkio_model"]
    assert (facet.metric, facet.value, facet.fieldName, facet.stats) == (None, None, None, [])


def test_task_that_failed_before_its_connection_has_no_lineage() -> None:
    lineage = AkkioTrainOperator(task_id="train", dataset_id="D1").get_openlineage_facets_on_failure(None)
    assert (lineage.inputs, lineage.outputs, lineage.run_facets) == ([], [], {})


def test_operators_do_not_import_openlineage() -> None:
    program = (
        "import sys, airflow_provider_akkio.operators.akkio, airflow_provider_akkio.sensors.akkio; "
        "print([name for name in sys.modules if name.startswith('openlineage') or name.endswith('akkio.lineage')])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert run.stdout.splitlines()[-1] == "[]"
