"""Templates in the triggerer, where some of what they may name never answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Environment

_ANSWERING = frozenset(
    {
        "conn",
        "dag",
        "dag_run",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "logical_date",
        "macros",
        "params",
        "run_id",
        "task",
        "task_instance",
        "task_instance_key_str",
        "ti",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "var",
    }
)
"""What the triggerer has, or its supervisor answers for; a question of another kind is never answered."""


class CannotRenderHere(Exception):
    """A template needs a worker."""


class TaskInstanceOfTrigger:
    """What a template may ask of a task instance in the triggerer.

    :param task_instance: what the triggerer gave the trigger.
    """

    def __init__(self, task_instance: Any) -> None:
        for name in ("dag_id", "task_id", "run_id", "map_index", "try_number"):
            setattr(self, name, getattr(task_instance, name))
        self._run = (task_instance.dag_id, task_instance.run_id)

    def xcom_pull(
        self, task_ids: Any = None, dag_id: str | None = None, key: str = "return_value", **others: Any
    ) -> Any:
        """Return the XCom of one task that is not mapped.

        :param task_ids: id of the task.
        :param dag_id: id of its DAG; default this one.
        :param key: which XCom.
        :param others: whatever else a worker takes.
        :raises CannotRenderHere: if it takes more than that, or there is none.
        """
        from airflow.sdk.execution_time.xcom import XCom

        if not isinstance(task_ids, str) or others:
            raise CannotRenderHere("a template pulls XComs of more than one task")
        own_dag_id, run_id = self._run
        value = XCom.get_one(key=key, task_id=task_ids, dag_id=dag_id or own_dag_id, run_id=run_id, map_index=-1)
        if value is None:
            raise CannotRenderHere(f"the XCom {key!r} of task {task_ids!r} is missing, or the task is mapped")
        return value


def render(values: Mapping[str, Any], context: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
    """Return values with their templates rendered; it asks Airflow, and so blocks.

    :param values: texts, lists of texts, and what is no template.
    :param context: what templates may name, as Airflow makes it.
    :param environment: Airflow's own, with its filters.
    :raises CannotRenderHere: if a template names what nobody answers for here.
    :raises Exception: whatever a template's rendering raises.
    """
    from jinja2 import StrictUndefined, meta

    environment.undefined = StrictUndefined
    for text in _texts(values.values()):
        if unknown := meta.find_undeclared_variables(environment.parse(text)) - _ANSWERING:
            raise CannotRenderHere(f"a template names {', '.join(sorted(unknown))}")
    of_trigger = TaskInstanceOfTrigger(context["ti"])
    known = {name: context[name] for name in _ANSWERING if name in context} | {"ti": of_trigger}
    return {
        name: _rendered(value, environment, known | {"task_instance": of_trigger}) for name, value in values.items()
    }


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from _texts(value)


def _rendered(value: Any, environment: Environment, context: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return environment.from_string(value).render(context)
    if isinstance(value, list | tuple):
        return [_rendered(one, environment, context) for one in value]
    return value
