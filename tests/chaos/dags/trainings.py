"""One training through a gate, deferrable or blocking, whose first attempt may be killed after the submission."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator


class KillableTrainOperator(AkkioTrainOperator):
    """Train; the parameter ``victim`` kills the task, or the worker with the task, after the first submission."""

    def wait_until_done(self, context, *arguments):
        if context["ti"].try_number == 1:
            victims = {"worker": [os.getppid(), os.getpid()], "task": [os.getpid()]}
            for victim in victims.get(context["params"]["victim"], []):
                os.kill(victim, signal.SIGKILL)
        return super().wait_until_done(context, *arguments)


for deferrable in (True, False):
    with DAG(
        f"chaos_{'deferrable' if deferrable else 'blocking'}",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        max_active_runs=64,
        params={"gate": "", "force": True, "ignore_fields": [], "victim": ""},
    ):
        KillableTrainOperator(
            task_id="train",
            dataset_id="wine",
            predict_fields="cultivar",
            ignore_fields="{{ params.ignore_fields }}",
            force="{{ params.force }}",
            akkio_conn_id="{{ params.gate }}",
            deferrable=deferrable,
            retries=5,
            retry_delay=timedelta(seconds=2),
        )
