"""What OpenLineage is told of a training; that its provider really asks is tested in a whole Airflow."""

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
def test_the_namespace_is_made_of_the_site(host: str | None, namespace: str) -> None:
    site = BaseUrl.from_connection(host, None, None)
    told = training_lineage(site, "D1", "T1", TrainingResult("M1", STATS, {"Age": 1.0}, []))
    assert [(one.namespace, one.name) for one in told.inputs] == [(namespace, "datasets/D1")]
    assert [(one.namespace, one.name) for one in told.outputs] == [(namespace, "models/M1")]
    facet = told.outputs[0].facets["akkio_model"]
    assert (facet.akkioTaskId, facet.metric, facet.value, facet.fieldName) == ("T1", "f1", 0.5, "Lead")
    assert (facet.stats, facet.fieldImportance) == (STATS, {"Age": 1.0})


def test_statistics_without_a_number_have_no_metric() -> None:
    site = BaseUrl.from_connection(None, None, None)
    [model] = training_lineage(site, None, "T1", TrainingResult("M1", [], None, None)).outputs
    facet = model.facets["akkio_model"]
    assert (facet.metric, facet.value, facet.fieldName, facet.stats) == (None, None, None, [])


def test_a_task_that_did_not_come_to_its_connection_tells_nothing() -> None:
    told = AkkioTrainOperator(task_id="train", dataset_id="D1").get_openlineage_facets_on_failure(None)
    assert (told.inputs, told.outputs, told.run_facets) == ([], [], {})


def test_nothing_of_openlineage_is_loaded_with_the_operator() -> None:
    program = (
        "import sys, airflow_provider_akkio.operators.akkio, airflow_provider_akkio.sensors.akkio; "
        "print([name for name in sys.modules if name.startswith('openlineage') or name.endswith('akkio.lineage')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
