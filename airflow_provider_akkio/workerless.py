"""Where a task can begin and end in the triggerer, and why it cannot elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_akkio.api.pacing import SUBMIT_PATIENCE
from airflow_provider_akkio.handover import forget
from airflow_provider_akkio.waiting import DEFERRAL_GRACE

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs


class ReadLate:
    """An attribute that Airflow reads when it serializes a task: policies have changed the task by then.

    :param read: returns its value for a task.
    :param of_class: its value for the class, which Airflow reads for a mapped task.
    """

    def __init__(self, read: Callable[[Any], Any], of_class: Any) -> None:
        self._read = read
        self._of_class = of_class

    def __get__(self, task: Any, _: type | None = None) -> Any:
        return self._of_class if task is None else self._read(task)


_TRIGGER = "airflow_provider_akkio.triggers.start.AkkioStartTrigger"


def why_a_worker_ends(task: Any) -> str | None:
    """Return why a triggerer cannot end a task as a worker does; ``None`` if it can.

    Airflow registers no asset event for a task that ended in the triggerer, and calls none of what runs after a task
    in its worker (``airflow.models.trigger``, ``airflow.dag_processing.processor``).
    """
    reasons = {
        "Airflow is older than 3.3": not AIRFLOW_V_3_3_PLUS,
        "it is not deferrable": not task.deferrable,
        "it does not wait for the training": not task.wait_for_completion,
        "its outlets need a worker": task.outlets,
        "its on_success_callback needs a worker": [one for one in task.on_success_callback if one is not forget],
        "its post_execute needs a worker": _is_hooked(task, "post_execute"),
        "with do_xcom_push=False nothing would tell a later try that it has ended": not task.do_xcom_push,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def why_a_worker_starts(task: Any) -> str | None:
    """Return why a triggerer cannot start a task as a worker does; ``None`` if it can."""
    if reason := why_a_worker_ends(task):
        return reason
    reasons = {
        "its on_execute_callback needs a worker": task.on_execute_callback,
        "its pre_execute needs a worker": _is_hooked(task, "pre_execute"),
        "its templates are rendered in a way of the DAG's own": _renders_in_its_own_way(task),
        "a parameter is made of XComs in a way that needs a worker": not all(
            _is_simple(getattr(task, name)) for name in task.template_fields
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def start_trigger_args(task: Any) -> StartTriggerArgs:
    """Return what the scheduler defers a task with that starts in the triggerer."""
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(
        trigger_cls=_TRIGGER,
        trigger_kwargs={
            **{name: _as_template(getattr(task, name)) for name in task.template_fields},
            "timeout": task.timeout,
            "poll_interval": task.poll_interval,
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=SUBMIT_PATIENCE + task.timeout + DEFERRAL_GRACE),
    )


def _is_hooked(task: Any, method: str) -> bool:
    from airflow.providers.common.compat.sdk import BaseOperator

    is_overridden = getattr(type(task), method) is not getattr(BaseOperator, method)
    return is_overridden or getattr(task, f"_{method}_hook", None) is not None


def _renders_in_its_own_way(task: Any) -> bool:
    dag = task.dag if task.has_dag() else None
    names = ("jinja_environment_kwargs", "render_template_as_native_obj")
    return bool(getattr(task, names[1], False)) or any(getattr(dag, name, None) for name in names)


def _is_simple(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(_is_simple(one) for one in value)
    if not hasattr(value, "resolve"):
        return True
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    return isinstance(value, PlainXComArg)


def _as_template(value: Any) -> Any:
    """Return a parameter as plain data: an ``XComArg`` as the template that it stands for."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_template(one) for one in value]
    return str(value) if hasattr(value, "resolve") else value
