from __future__ import annotations

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.sandbox import Sandbox
from tests.airflow_runs import DagRunner, RunTask, call


def test_delete_dataset_succeeds_also_if_it_does_not_exist(run_task: RunTask, sandbox: Sandbox) -> None:
    dataset_id = sandbox.datasets.create("old")
    for _ in range(2):
        assert run_task("AkkioDeleteDatasetOperator", task_id="delete", dataset_id=dataset_id).state == "success"
        assert dataset_id not in sandbox.datasets


def test_delete_model_succeeds_if_it_does_not_exist(run_task: RunTask, sandbox: Sandbox) -> None:
    assert run_task("AkkioDeleteModelOperator", task_id="delete", model_id="gone").state == "success"


def test_delete_can_be_mapped(run_dag: DagRunner, sandbox: Sandbox) -> None:
    ids = [sandbox.datasets.create("one"), sandbox.datasets.create("two")]
    run = run_dag(f'AkkioDeleteDatasetOperator.partial(task_id="delete").expand(dataset_id={ids})')
    assert run.state == "success"
    assert [dataset_id for dataset_id in ids if dataset_id in sandbox.datasets] == []


def test_delete_with_an_id_that_rendered_to_none_deletes_nothing(run_task: RunTask, sandbox: Sandbox) -> None:
    before = list(sandbox.datasets)
    run = run_task("AkkioDeleteDatasetOperator", task_id="delete", dataset_id="{{ none }}")
    assert isinstance(run.failure, AkkioParameterError)
    assert list(sandbox.datasets) == before


@pytest.mark.parametrize(
    ("operator", "name"), [("AkkioDeleteModelOperator", "model_id"), ("AkkioDeleteDatasetOperator", "dataset_id")]
)
def test_delete_rejects_an_empty_id_when_the_dag_is_parsed(run_dag: DagRunner, operator: str, name: str) -> None:
    with (
        pytest.raises(AkkioParameterError, match=f"Task 'delete'.*{name}"),
        run_dag.parsed(call(operator, task_id="delete", **{name: ""})),
    ):
        pass


def test_hook_creates_fills_describes_and_deletes_a_dataset(sandbox: Sandbox) -> None:
    hook = AkkioHook()
    dataset_id = hook.create_dataset("by hand")
    hook.append_rows(dataset_id, [{"a": 1, "b": "x"}, {"a": 2, "b": None}])
    hook.set_field_types(dataset_id, {"b": "string"})
    dataset = hook.get_dataset(dataset_id)
    assert (dataset.name, dataset.rows) == ("by hand", 2)
    assert [(field.name, field.type) for field in dataset.fields][1] == ("b", "string")
    assert ("by hand", dataset_id) in [(dataset.name, dataset.id) for dataset in hook.list_datasets()]
    assert hook.delete_dataset(dataset_id)
    assert not hook.delete_dataset(dataset_id)
    assert not hook.delete_model("gone")
