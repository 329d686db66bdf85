"""Runs triggers as a triggerer does, in a task of ``dag.test()``, so that a real Airflow answers what they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_akkio.triggers.status import TaskXCom

Acts = Callable[[dict[str, Any]], None]

_acts: list[Acts] = []


def act(context: dict[str, Any]) -> None:
    """Do, in a task, what the test has prepared."""
    [acts] = _acts
    acts(context)


@contextmanager
def acting(acts: Acts) -> Iterator[None]:
    """Prepare what a task is to do."""
    _acts.append(acts)
    try:
        yield
    finally:
        _acts.remove(acts)


def run(
    trigger: Any,
    context: dict[str, Any],
    *,
    state: str = "deferred",
    then: str | None = "success",
    **of_task_instance: Any,
) -> list[TriggerEvent]:
    """Run a trigger to its end, and return its events.

    The task's state is a stand-in: Airflow takes a task of ``dag.test()`` for one that runs.

    :param trigger: made anew, as a triggerer does.
    :param context: the task's.
    :param state: what Airflow says of the task while it waits.
    :param then: what it says once the trigger has ended the task.
    :param of_task_instance: what is to be another in the task instance that the trigger gets.
    """
    ti = context["ti"]
    names = ("id", "dag_id", "task_id", "run_id", "map_index", "try_number")
    trigger.task_instance = SimpleNamespace(**{name: getattr(ti, name) for name in names} | of_task_instance)
    trigger.trigger_id = 1
    trigger.render_template_fields(context)

    events: list[TriggerEvent] = []

    async def state_now(_: TaskXCom) -> str | None:
        return then if ends(events) else state

    async def collect() -> None:
        async for event in trigger.run():
            events.append(event)  # noqa: PERF401 - the state follows from the events as they come

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TaskXCom, "state", state_now)
        asyncio.run(collect())
    return events


def ends(events: list[TriggerEvent]) -> bool:
    """Return whether one event says that the task has succeeded."""
    return [type(event) for event in events] == [TaskSuccessEvent]
