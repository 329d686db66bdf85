"""Triggers in a task of a real DAG run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import triggerer
from tests.airflow_runs import DagRunner, FinishedRun
from tests.scripted import ScriptedAkkio

BODY = """
from tests.triggerer import act

@task
def earlier():
    return "D7"

@task(do_xcom_push=False)
def train(**context):
    act(context)

earlier() >> train()
"""
InTask = Callable[[triggerer.Acts], FinishedRun]


@pytest.fixture
def in_task(run_dag: DagRunner, connected: ScriptedAkkio) -> InTask:
    """Does something in a task of a real DAG run."""

    def run(acts: triggerer.Acts) -> FinishedRun:
        with triggerer.acting(acts):
            finished = run_dag(BODY)
        assert finished.state == "success", finished.failures
        return finished

    return run
