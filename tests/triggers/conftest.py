"""Triggers in a task of a real DAG run, so that Airflow's own services are there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_akkio.triggers.akkio import AkkioTaskEvent, AkkioTaskTrigger
from tests.airflow_runs import DagRunner, FinishedRun
from tests.scripted import ScriptedAkkio

Action = Callable[[dict[str, Any]], None]
RunInTask = Callable[[Action], FinishedRun]

DAG_BODY = """
from tests.triggers.conftest import run_action

@task(do_xcom_push=False)
def train(**context):
    run_action(context)

train()
"""

_actions: list[Action] = []


def run_action(context: dict[str, Any]) -> None:
    """Run the test's action inside of the task."""
    [action] = _actions
    action(context)


@contextmanager
def _prepared(action: Action) -> Iterator[None]:
    _actions.append(action)
    try:
        yield
    finally:
        _actions.remove(action)


@pytest.fixture
def run_in_task(run_dag: DagRunner, connected: ScriptedAkkio) -> RunInTask:
    """Run a function with the context of a task of a real DAG run."""

    def run(action: Action) -> FinishedRun:
        with _prepared(action):
            finished = run_dag(DAG_BODY)
        assert finished.state == "success", finished.failures
        return finished

    return run


def run_as_triggerer(trigger: AkkioTaskTrigger, context: dict[str, Any]) -> list[AkkioTaskEvent]:
    """Run a trigger to its end with the attributes that a triggerer sets, and return its events."""
    ti = context["ti"]
    names = ("id", "dag_id", "task_id", "run_id", "map_index", "try_number")
    trigger.task_instance = SimpleNamespace(**{name: getattr(ti, name) for name in names})
    trigger.trigger_id = 1
    return events_of(trigger)


def events_of(trigger: AkkioTaskTrigger) -> list[AkkioTaskEvent]:
    """Run a trigger to its end, and return its events."""

    async def collect() -> list[AkkioTaskEvent]:
        return [AkkioTaskEvent.from_payload(event.payload) async for event in trigger.run()]

    return asyncio.run(collect())
