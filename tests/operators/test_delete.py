"""Models and datasets are deleted, and what is gone already is as good."""

from __future__ import annotations

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.sandbox import Sandbox
from tests.airflow_runs import DagRunner


def test_a_dataset_is_deleted_and_may_be_gone_already(run_dag: DagRunner, sandbox: Sandbox) -> None:
    dataset_id = sandbox.datasets.create("old")
    body = f'AkkioDeleteDatasetOperator(task_id="delete", dataset_id="{dataset_id}")'
    assert run_dag(body).state == "success"
    assert dataset_id not in sandbox.datasets
    assert run_dag(body).state == "success"


def test_a_model_that_is_gone_already_is_success(run_dag: DagRunner, sandbox: Sandbox) -> None:
    assert run_dag('AkkioDeleteModelOperator(task_id="delete", model_id="gone")').state == "success"


def test_deletions_can_be_mapped(run_dag: DagRunner, sandbox: Sandbox) -> None:
    ids = [sandbox.datasets.create("one"), sandbox.datasets.create("two")]
    run = run_dag(f'AkkioDeleteDatasetOperator.partial(task_id="delete").expand(dataset_id={ids})')
    assert run.state == "success"
    assert [one for one in ids if one in sandbox.datasets] == []


def test_an_id_that_a_template_lost_deletes_nothing(run_dag: DagRunner, sandbox: Sandbox) -> None:
    before = list(sandbox.datasets)
    failure = run_dag('AkkioDeleteDatasetOperator(task_id="delete", dataset_id="{{ none }}")').failure
    assert isinstance(failure, AkkioParameterError)
    assert list(sandbox.datasets) == before


def test_the_hook_makes_fills_describes_and_deletes_a_dataset(sandbox: Sandbox) -> None:
    hook = AkkioHook()
    dataset_id = hook.create_dataset("by hand")
    hook.append_rows(dataset_id, [{"a": 1, "b": "x"}, {"a": 2, "b": None}])
    hook.set_field_types(dataset_id, {"b": "string"})
    described = hook.get_dataset(dataset_id)
    assert (described.name, described.rows) == ("by hand", 2)
    assert [(field.name, field.type) for field in described.fields][1] == ("b", "string")
    assert ("by hand", dataset_id) in [(one.name, one.id) for one in hook.list_datasets()]
    assert hook.delete_dataset(dataset_id)
    assert not hook.delete_dataset(dataset_id)
    assert not hook.delete_model("gone")


@pytest.mark.parametrize("operator", ["AkkioDeleteModelOperator", "AkkioDeleteDatasetOperator"])
def test_an_empty_id_is_refused_when_the_file_is_parsed(run_dag: DagRunner, operator: str) -> None:
    name = "model_id" if "Model" in operator else "dataset_id"
    with pytest.raises(AkkioParameterError), run_dag.parsed(f'{operator}(task_id="delete", {name}="")'):
        pass
